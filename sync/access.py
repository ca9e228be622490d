"""Who may see and do what: deny by default.

What one may not see does not exist (404); what one sees and may not do is refused (403). The rights themselves:
sync.services.grants.
"""

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404

from sync.models import Instance, SyncRule, SyncTask
from sync.services.grants import Right, Somebody, all_rights, instances_with, is_platform_administrator, rights_on
from sync.services.reading import turn_to

__all__ = ["Right", "all_rights", "is_platform_administrator", "rights_on"]


def require_platform_administrator(user: Somebody) -> None:
    """Raises PermissionDenied."""
    if not is_platform_administrator(user):
        raise PermissionDenied("Only platform administrators do this.")


def only_for_platform_administrators(user: Somebody) -> None:
    """Of what nobody else sees anything. Raises Http404."""
    if not is_platform_administrator(user):
        raise Http404


def visible_instances(user: Somebody) -> QuerySet[Instance]:
    return instances_with(user, Right.VIEW)


def receiving_instances(user: Somebody) -> QuerySet[Instance]:
    """Those that rules of this user may copy to: no more of them is shown than name and region."""
    return instances_with(user, Right.RECEIVE)


def administered_instances(user: Somebody) -> QuerySet[Instance]:
    return instances_with(user, Right.ADMINISTER)


def require(user: Somebody, instance: Instance, right: Right) -> None:
    """Raises PermissionDenied."""
    if right not in rights_on(user, instance):
        raise PermissionDenied(f"This needs the role {right.role} on {instance.name}.")


def require_sight_of_target(user: Somebody, rule: SyncRule) -> None:
    """Raises PermissionDenied to who neither sees the target nor may have rules write to it."""
    if not rights_on(user, rule.target) & {Right.VIEW, Right.RECEIVE}:
        raise PermissionDenied(f"This shows what {rule.target.name} holds: it needs a role there, Viewer or Receive.")


def get_instance_or_404(user: Somebody, name: str, right: Right = Right.VIEW) -> Instance:
    """Raises Http404, and PermissionDenied when the user may see it without having the right."""
    instance = get_object_or_404(visible_instances(user).filter(name=name))
    if right is not Right.VIEW:
        require(user, instance, right)
    return instance


def get_rule_or_404(user: Somebody, instance: str, name: str, right: Right = Right.VIEW) -> SyncRule:
    """The rule of this name whose source is `instance`. Raises as get_instance_or_404."""
    rules = SyncRule.objects.select_related("source", "target").filter(source__in=visible_instances(user))
    rule = get_object_or_404(rules.filter(source__name=instance, name=name))
    if right is not Right.VIEW:
        require(user, rule.source, right)
    return rule


def get_task_or_404(user: Somebody, instance: str, task_id: int, right: Right = Right.VIEW) -> SyncTask:
    """The task of this ID whose source was `instance`, its rule deleted or not. Raises as get_instance_or_404."""
    tasks = SyncTask.objects.select_related("rule", "source", "target").filter(source__in=visible_instances(user))
    task = get_object_or_404(tasks.filter(source__name=instance, pk=task_id))
    if right is not Right.VIEW and task.source is not None:
        require(user, task.source, right)
    turn_to(task)
    return task
