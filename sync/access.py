"""Who may see and do what: deny by default.

Platform administrators may everything; everybody else sees nothing. What one may not see does not exist (404).
"""

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from sync.models import Instance, SyncRule, SyncTask


def is_platform_administrator(user: User | AnonymousUser) -> bool:
    return user.is_active and user.is_superuser


def require_platform_administrator(user: User | AnonymousUser) -> None:
    """Raises PermissionDenied."""
    if not is_platform_administrator(user):
        raise PermissionDenied("Only platform administrators register instances.")


def visible_instances(user: User | AnonymousUser) -> QuerySet[Instance]:
    return Instance.objects.all() if is_platform_administrator(user) else Instance.objects.none()


def get_instance_or_404(user: User | AnonymousUser, name: str) -> Instance:
    return get_object_or_404(visible_instances(user).filter(name=name))


def get_rule_or_404(user: User | AnonymousUser, instance: str, name: str) -> SyncRule:
    """The rule of this name whose source is `instance`."""
    rules = SyncRule.objects.select_related("source", "target").filter(source__in=visible_instances(user))
    return get_object_or_404(rules.filter(source__name=instance, name=name))


def get_task_or_404(user: User | AnonymousUser, instance: str, task_id: int) -> SyncTask:
    """The task of this ID whose source was `instance`, its rule deleted or not."""
    tasks = SyncTask.objects.select_related("rule", "source", "target").filter(source__in=visible_instances(user))
    return get_object_or_404(tasks.filter(source__name=instance, pk=task_id))
