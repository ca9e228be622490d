"""How late what was pushed arrives: per rule over a day, and what is still on its way."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Min, Q
from django.utils import timezone

from sync.models import OPEN, Lag, SyncRule, SyncTask, Trigger
from sync.services import removals

KEPT = timedelta(days=1)
# Figures are this old at most; those of a rule that nothing arrives for fall out of the day in time, too.
COUNTED_EVERY = timedelta(minutes=5)
# Of a rule with more in a day the newest are counted.
MOST = 20_000
PRUNED_AT_ONCE = 10_000


def refresh() -> None:
    """Counts anew what has changed, and forgets what is older than a day. May be called as often as one likes."""
    now = timezone.now()
    old = Lag.objects.filter(at__lt=now - KEPT).order_by("pk").values_list("pk", flat=True)[:PRUNED_AT_ONCE]
    Lag.objects.filter(pk__in=list(old)).delete()
    news = Lag.objects.order_by().values("rule").distinct()
    stale = Q(lag_counted_at=None) | Q(lag_counted_at__lt=now - COUNTED_EVERY)
    for rule in SyncRule.objects.filter(Q(pk__in=news) | (stale & Q(lag_median__isnull=False))):
        newest = rule.lags.order_by("-at").values_list("at", flat=True).first()
        if rule.lag_counted_at is None or newest is None or newest > rule.lag_counted_at or _is_stale(rule, now):
            _count(rule, now)


def _is_stale(rule: SyncRule, now: datetime) -> bool:
    return rule.lag_counted_at is None or rule.lag_counted_at < now - COUNTED_EVERY


def _count(rule: SyncRule, now: datetime) -> None:
    seconds = sorted(rule.lags.filter(at__gte=now - KEPT).order_by("-at").values_list("seconds", flat=True)[:MOST])
    SyncRule.objects.filter(pk=rule.pk).update(
        lag_median=_percentile(seconds, 50),
        lag_p95=_percentile(seconds, 95),
        lag_worst=seconds[-1] if seconds else None,
        lag_counted_at=now,
    )


def _percentile(ordered: list[float], percent: int) -> float | None:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def oldest_waiting(rules: Iterable[int]) -> dict[int, datetime]:
    """By rule: when the oldest push was told that has not arrived."""
    waiting = SyncTask.objects.filter(rule__in=rules, trigger=Trigger.PUSH, status__in=OPEN)
    # What has arrived and only asks about deletions is no push on its way.
    waiting = waiting.exclude(pk__in=removals.asks(waiting).values("pk"))
    return dict(waiting.order_by().values("rule").annotate(at=Min("notified_at")).values_list("rule", "at"))


def oldest_waiting_rules() -> list[tuple[SyncRule, datetime]]:
    """The same of all rules that wait for something."""
    waiting = SyncTask.objects.filter(trigger=Trigger.PUSH, status__in=OPEN).order_by().values_list("rule", flat=True)
    rules = SyncRule.objects.select_related("source").in_bulk(set(waiting) - {None})
    return [(rules[pk], at) for pk, at in oldest_waiting(rules).items() if at is not None]
