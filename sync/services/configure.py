"""Instances and rules: saving, switching, deleting."""

from collections.abc import Sequence
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import ProtectedError, Q
from django.utils import timezone

from sync.models import OPEN, Instance, SyncRule, SyncTask, Trigger
from sync.services import audit, grants, outages, trial
from sync.services.execute import finish
from sync.services.schedules import next_run
from sync.services.trigger import ask_to_stop, open_task

RULES_NAMED = 20
# What rules stand on that a platform administrator saved, or a command.
PLATFORMS = "the platform's own right"


class InUse(Exception):
    """The instance cannot be deleted; the message names the rules that use it."""

    def __init__(self, instance: Instance, rules: Sequence[SyncRule]) -> None:
        named = ", ".join(str(rule) for rule in rules[:RULES_NAMED]) + (" and more" if len(rules) > RULES_NAMED else "")
        super().__init__(f"Rules use {instance.name}: {named}. Delete them, or give them another instance.")
        self.rules = rules


def save_instance(instance: Instance, password: str | None, api_key: str | None = None) -> None:
    """`password`, `api_key`: None leaves the stored one as it is, blank removes it."""
    if password is not None:
        instance.password = password
        instance.password_set_at = timezone.now() if password else None
        if not password:
            instance.password_expires_on = None
    if api_key is not None:
        instance.api_key = api_key
        instance.api_key_set_at = timezone.now() if api_key else None
    instance.next_poll_at = None
    before = Instance.objects.filter(pk=instance.pk).first()
    if before is None or not trial.is_reached_alike(before, instance):
        instance.checked_at, instance.healthy, instance.health_reason, instance.latency_ms = None, None, "", None
    instance.save()
    if before is not None and before.url != instance.url:
        # Another registry: what its tags held before says nothing of them.
        instance.origins.all().delete()
    if before is not None and before.region != instance.region:
        grants.review(SyncRule.objects.filter(Q(source=instance) | Q(target=instance)))
    # What waits for it tries at once whether the change has helped.
    outages.came_back(instance)


def delete_instance(instance: Instance) -> None:
    """Refused while rules use it. Its tasks stay, to be found by support staff. Raises InUse."""
    try:
        instance.delete()
    except ProtectedError as error:
        raise InUse(instance, users_of(instance)) from error


def users_of(instance: Instance) -> list[SyncRule]:
    """The rules for which the instance cannot be deleted, as many as can be told and one more; none when it can."""
    found = SyncRule.objects.filter(Q(source=instance) | Q(target=instance)).select_related("source")
    return list(found.order_by("source__name", "name")[: RULES_NAMED + 1])


def same_address(instance: Instance) -> list[Instance]:
    """Others that stand for the same registry. That may be meant: with another account, for example."""
    return list(Instance.objects.filter(url=instance.url).exclude(pk=instance.pk))


def save_rule(rule: SyncRule, *, actor: str = "", sync_now: bool = False, owner: User | None = None) -> SyncTask | None:
    """Saves the rule; `sync_now` also copies what is there already, by a task that is returned, unless it is suspended.

    owner: on whose rights it stands from now on; without one, as from a file, on the platform's own.
    """
    with transaction.atomic():
        taken_over = takeover(rule, owner)
        rule.owner, rule.by_platform = owner, owner is None
        rule.suspension = grants.fault(rule)
        rule.next_run_at = next_run(rule)
        rule.save()
        if taken_over:
            before, after = taken_over
            audit.note(audit.Verb.CHANGED, rule, detail=f"It stands on {after} from now on, before on {before}.")
        starts = sync_now and not rule.suspension
        return open_task(rule, Trigger.MANUAL, actor=actor).task if starts else None


def takeover(rule: SyncRule, owner: User | None) -> tuple[str, str] | None:
    """On what the rule stands, and on what it will when it is saved for this owner; None where that is the same."""
    if rule.pk is None:
        return None
    if rule.by_platform == (owner is None) and (owner is None or rule.owner == owner):
        return None
    after = PLATFORMS if owner is None else f"the rights of {owner}"
    if rule.by_platform:
        return PLATFORMS, after
    return f"the rights of {rule.owner or 'somebody who is no longer a user'}", after


def switch_rule(rule: SyncRule, enabled: bool) -> None:
    """Disabled means that pushes and schedules do not start it."""
    rule.enabled = enabled
    rule.next_run_at = next_run(rule)
    with transaction.atomic():
        switched = SyncRule.objects.filter(pk=rule.pk, enabled=not enabled).update(enabled=enabled)
        SyncRule.objects.filter(pk=rule.pk).update(next_run_at=rule.next_run_at)
        if switched:
            audit.note(audit.Verb.ENABLED if enabled else audit.Verb.DISABLED, rule)


def delete_rule(rule: SyncRule, *, actor: str = "") -> None:
    """Stops its open tasks; its logs stay, and so does what it brought to the target."""
    with transaction.atomic():
        # First, like all who open tasks of it; rows that name the rule may still be written, by who holds a task.
        SyncRule.objects.select_for_update(no_key=True).get(pk=rule.pk)
        for task in rule.tasks.filter(status__in=OPEN):
            ask_to_stop(task, actor=actor)
            # Later: workers lock repositories before their task, and would wait for us as we for them.
            transaction.on_commit(partial(finish, task))
        rule.delete()
