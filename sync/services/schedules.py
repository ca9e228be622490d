"""What starts by the clock: rules with a schedule, and looks for news at instances that cannot notify.

Both go through the one corridor, as quick tasks. Whoever comes first moves the next time on and opens the task, in one
transaction: two schedulers start nothing twice. Times that were missed become one.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Q
from django.utils import timezone

from sync.cron import InvalidSchedule, in_words, next_times
from sync.models import ACTING, Instance, SyncRule, Trigger
from sync.services.trigger import open_task

TIMES_SHOWN = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """As somebody is writing it."""

    expression: str
    zone: str

    @cached_property
    def problem(self) -> str:
        """Why there are no times, in a sentence."""
        try:
            self._next()
        except InvalidSchedule as error:
            return str(error)
        return ""

    @property
    def times(self) -> list[str]:
        """The next five, in the zone, with its offset."""
        return [] if self.problem else [f"{time:%a %Y-%m-%d %H:%M (UTC%z)}" for time in self._next()]

    @property
    def words(self) -> str:
        return "" if self.problem else in_words(self.expression)

    def _next(self) -> list[datetime]:
        return next_times(self.expression, self.zone, timezone.now(), TIMES_SHOWN) if self.expression.strip() else []


def start_due() -> int:
    """Opens what is due; how many rules were started. As often and by as many as may be."""
    now = timezone.now()
    _plan(SyncRule.objects.filter(**ACTING, next_run_at=None).exclude(schedule=""), now)
    due = SyncRule.objects.filter(**ACTING, next_run_at__lte=now).exclude(schedule="").order_by("pk")
    polled = Instance.objects.filter(Q(next_poll_at=None) | Q(next_poll_at__lte=now), poll_minutes__gt=0).order_by("pk")
    started = sum(_guarded(partial(_start, rule, now), rule) for rule in due)
    return started + sum(_guarded(partial(_poll, instance, now), instance) for instance in polled)


def _guarded(start: Callable[[], int], what: SyncRule | Instance) -> int:
    """A fault over one, or one that was deleted a moment ago, keeps nobody from starting the others."""
    try:
        return start()
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("%s was not started by its schedule", what)
        return 0


def next_run(rule: SyncRule, now: datetime | None = None) -> datetime | None:
    """When its schedule starts it next; None without one, or while it is disabled."""
    if not (rule.schedule and rule.enabled):
        return None
    return next_times(rule.schedule, rule.schedule_zone, now or timezone.now())[0]


def _plan(rules: Iterable[SyncRule], now: datetime) -> None:
    """Schedules that came to the database without a service."""
    for rule in rules:
        _guarded(partial(_plan_one, rule, now), rule)


def _plan_one(rule: SyncRule, now: datetime) -> int:
    return SyncRule.objects.filter(pk=rule.pk, next_run_at=None).update(next_run_at=next_run(rule, now))


def _start(rule: SyncRule, now: datetime) -> int:
    with transaction.atomic():
        mine = SyncRule.objects.filter(pk=rule.pk, **ACTING, next_run_at=rule.next_run_at)
        if not mine.update(next_run_at=next_run(rule, now)):
            return 0
        open_task(rule, Trigger.SCHEDULE, actor="schedule", quick=True)
    return 1


def _poll(instance: Instance, now: datetime) -> int:
    with transaction.atomic():
        mine = Instance.objects.filter(pk=instance.pk, next_poll_at=instance.next_poll_at)
        if not mine.update(next_poll_at=now + timedelta(minutes=instance.poll_minutes)):
            return 0
        rules = list(SyncRule.objects.filter(source=instance, **ACTING).order_by("pk"))
        for rule in rules:
            open_task(rule, Trigger.SCHEDULE, actor="poll", quick=True)
    return len(rules)
