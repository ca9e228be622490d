"""Figures for Prometheus, looked up when they are asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime, time

from django.db.models import Count
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sync import queue
from sync.models import OPEN, Instance, Notification, SyncRule, SyncTask
from sync.services import lag, removals

LAGS = {"median": "lag_median", "p95": "lag_p95", "worst": "lag_worst"}


def exposition() -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _lags()
        yield from _tasks()
        yield from _credentials()
        yield from _queue()


def _lags() -> Iterator[Metric]:
    """Of rules that something was pushed for within a day."""
    pushed = GaugeMetricFamily(
        "tcrconsole_lag_seconds",
        "From the notification of a push to the tag in the target, of a day.",
        labels=["source", "rule", "figure"],
    )
    for rule in SyncRule.objects.select_related("source").filter(lag_median__isnull=False):
        for figure, field in LAGS.items():
            pushed.add_metric([rule.source.name, rule.name, figure], getattr(rule, field))
    yield pushed
    waiting = GaugeMetricFamily(
        "tcrconsole_oldest_push_seconds",
        "Since the oldest push was told that has not arrived.",
        labels=["source", "rule"],
    )
    now = timezone.now()
    for rule, told_at in lag.oldest_waiting_rules():
        waiting.add_metric([rule.source.name, rule.name], (now - told_at).total_seconds())
    yield waiting
    waits = Notification.objects.filter(handled_at=None).count()
    yield GaugeMetricFamily("tcrconsole_notifications_waiting", "Notifications that no rule has seen.", value=waits)


def _tasks() -> Iterator[Metric]:
    counted = SyncTask.objects.filter(status__in=OPEN).order_by().values_list("status").annotate(Count("pk"))
    numbers = dict(counted)
    tasks = GaugeMetricFamily("tcrconsole_open_tasks", "Tasks that have not ended.", labels=["status"])
    for status in OPEN:
        tasks.add_metric([status], numbers.get(status, 0))
    yield tasks
    asking = removals.asks(SyncTask.objects.filter(status__in=OPEN)).count()
    yield GaugeMetricFamily("tcrconsole_questions", "Tasks that ask a person whether to delete.", value=asking)


def _credentials() -> Iterator[Metric]:
    """Of instances whose password has a last day."""
    left = GaugeMetricFamily(
        "tcrconsole_credential_expires_seconds",
        "Until the password of an instance ends, below 0 since it did.",
        labels=["instance"],
    )
    now = timezone.now()
    dated = Instance.objects.filter(password_expires_on__isnull=False).exclude(encrypted_password="")
    for name, day in dated.values_list("name", "password_expires_on"):
        if day is not None:
            left.add_metric([name], (datetime.combine(day, time.max, UTC) - now).total_seconds())
    yield left


def _queue() -> Iterator[Metric]:
    """Nothing but that it is away, when it is."""
    try:
        state = queue.inspect()
    except queue.QueueUnreachable:
        state = None
    yield GaugeMetricFamily("tcrconsole_queue_up", "1 when the queue answers.", value=float(state is not None))
    if state is not None:
        yield GaugeMetricFamily("tcrconsole_workers", "Workers alive.", value=len(state.workers))
        yield GaugeMetricFamily("tcrconsole_schedulers", "Schedulers alive.", value=state.schedulers)
