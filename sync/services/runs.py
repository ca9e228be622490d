"""The newest task of rules: what it is, and which rules it says are failing."""

from collections import Counter
from collections.abc import Iterable

from django.core.cache import cache
from django.db.models import BooleanField, Count, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery

from sync.models import OPEN, Status, SyncRule, SyncTask, TaskRepository

# How long what is counted for every page is taken as known.
FAILING_SECONDS = 15
# A rule is failing when its newest task ended like this.
FAILED = (Status.FAILED, Status.PARTIAL)


def with_newest(rules: QuerySet[SyncRule]) -> QuerySet[SyncRule]:
    """Rules that know the key of their newest task, for `newest_tasks`, since when it is, and whether any is open."""
    # One look at all that are open: they are few, and the tasks of a rule may be many.
    open_ones = SyncTask.objects.filter(status__in=OPEN, rule__isnull=False).order_by().values("rule")
    is_busy = ExpressionWrapper(Q(pk__in=open_ones), BooleanField())
    return rules.annotate(newest_task=_newest("pk"), newest_at=_newest("created_at"), is_busy=is_busy)


def newest_tasks(rules: Iterable[SyncRule]) -> dict[int | None, SyncTask]:
    """The newest task of each rule that has one, by the rule's key."""
    keys = [rule.newest_task for rule in rules if rule.newest_task]  # type: ignore[attr-defined]
    return {task.rule_id: task for task in SyncTask.objects.filter(pk__in=keys)}


def reasons(tasks: Iterable[SyncTask]) -> dict[int, str]:
    """Why tasks ended badly, by their key: the task's own reason, else that of the first repository with failures."""
    ended = [task for task in tasks if task.status in FAILED]
    unsaid = [task.pk for task in ended if not task.reason]
    found = {task.pk: task.reason for task in ended if task.reason}
    if unsaid:
        failed = TaskRepository.objects.filter(task=OuterRef("pk"), status__in=FAILED).exclude(reason="")
        first = Subquery(failed.order_by("status", "pk").values("reason")[:1])
        found |= dict(SyncTask.objects.filter(pk__in=unsaid).annotate(why=first).values_list("pk", "why"))
    return {pk: reason for pk, reason in found.items() if reason}


def failing(rules: QuerySet[SyncRule]) -> QuerySet[SyncRule]:
    return rules.alias(newest_status=_newest("status")).filter(newest_status__in=FAILED)


def failing_by_instance() -> Counter[int]:
    """How many rules of each source are failing, by the instance's key."""
    found = failing(SyncRule.objects.order_by()).values("source").annotate(rules=Count("pk"))
    return Counter(dict(found.values_list("source", "rules")))


def failing_now() -> Counter[int]:
    """The same, as of some seconds ago: for what every page and every poll shows."""
    return cache.get_or_set("failing_rules", failing_by_instance, FAILING_SECONDS) or Counter()


def _newest(field: str) -> Subquery:
    """Of the newest task of a rule: one look into an index, however many tasks it has."""
    return Subquery(SyncTask.objects.filter(rule=OuterRef("pk")).order_by("-pk").values(field)[:1])
