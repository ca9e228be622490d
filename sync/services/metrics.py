"""Figures for Prometheus, looked up when they are asked for. None of them counts resources: they are kept in sums."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sync import pools, queue_state
from sync.models import OPEN, ErrorTally, Instance, Notification, Status, SyncRule, SyncTask
from sync.services import health, lag, removals, tallies

LAGS = {"median": "lag_median", "p95": "lag_p95", "worst": "lag_worst"}
OUTCOMES = ("copied", "unchanged", "conflict", "superseded", "failed", "removed")
SIDES = ["source", "target"]
ENDED = [status for status in Status if status not in OPEN]


def exposition() -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return generate_latest(registry)


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        rules = list(SyncRule.objects.values("name", "source__name", "target__name", *LAGS.values()))
        yield from _lags(rules)
        yield from _tasks()
        yield from _totals(rules)
        yield from _instances()
        yield from _credentials()
        yield from _queue()


def _lags(rules: list[dict[str, Any]]) -> Iterator[Metric]:
    """Of rules that something was pushed for within a day."""
    pushed = GaugeMetricFamily(
        "tcrconsole_lag_seconds",
        "From the notification of a push to the tag in the target, of a day.",
        labels=["source", "rule", "figure"],
    )
    for row in rules:
        for figure, field in LAGS.items():
            if row[field] is not None:
                pushed.add_metric([row["source__name"], row["name"], figure], row[field])
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
    counted = SyncTask.objects.filter(status__in=OPEN).order_by().values("status")
    numbers = {row["status"]: row for row in counted.annotate(number=Count("pk"), oldest=Min("created_at"))}
    tasks = GaugeMetricFamily("tcrconsole_open_tasks", "Tasks that have not ended.", labels=["status"])
    for status in OPEN:
        tasks.add_metric([status], numbers[status]["number"] if status in numbers else 0)
    yield tasks
    waiting = numbers.get(Status.WAITING)
    age = (timezone.now() - waiting["oldest"]).total_seconds() if waiting else 0
    said = "Since the oldest task was opened that nobody has begun; 0 when there is none."
    yield GaugeMetricFamily("tcrconsole_oldest_waiting_task_seconds", said, value=age)
    asking = removals.asks(SyncTask.objects.filter(status__in=OPEN)).count()
    yield GaugeMetricFamily("tcrconsole_questions", "Tasks that ask a person whether to delete.", value=asking)


def _totals(rules: list[dict[str, Any]]) -> Iterator[Metric]:
    """Since counting began: what has ended, and what open tasks have done so far."""
    tasks = CounterMetricFamily("tcrconsole_tasks", "Tasks that ended.", labels=[*SIDES, "status"])
    # From nought on: of a series that begins with 1, Prometheus does not see that it has grown.
    ended: Counter[tuple[str, str, str]] = Counter(
        {(rule["source__name"], rule["target__name"], end): 0 for rule in rules for end in ENDED}
    )
    sums: Counter[tuple[str, str, str]] = Counter()
    for row in tallies.totals():
        sides = row["source__name"], row["target__name"]
        if row["end"] != tallies.OPEN_ONES:
            ended[*sides, row["end"]] += row["number"]
        for field in (*OUTCOMES, "moved_bytes"):
            sums[*sides, field] += row[field]
    for labels, number in ended.items():
        tasks.add_metric(labels, number)
    yield tasks
    resources = CounterMetricFamily("tcrconsole_resources", "What became of resources.", labels=[*SIDES, "outcome"])
    moved = CounterMetricFamily("tcrconsole_moved_bytes", "Bytes of layers that were sent to targets.", labels=SIDES)
    for (source, target, field), number in sums.items():
        if field == "moved_bytes":
            moved.add_metric([source, target], number)
        else:
            resources.add_metric([source, target, field], number)
    yield resources
    yield moved


def _instances() -> Iterator[Metric]:
    """By `registry`: what was asked, which is the console, is Prometheus' own label `instance`."""
    up = GaugeMetricFamily("tcrconsole_instance_up", "0 while it does not answer.", labels=["registry"])
    for name, down_since in Instance.objects.values_list("name", "down_since"):
        up.add_metric([name], float(down_since is None))
    yield up
    errors = CounterMetricFamily(
        "tcrconsole_registry_errors", "Failures that tasks met at an instance.", labels=["registry", "class"]
    )
    for name, kind, number in ErrorTally.objects.values_list("instance__name", "kind", "number"):
        errors.add_metric([name, kind], number)
    yield errors


def _credentials() -> Iterator[Metric]:
    """Of instances whose password has a last day."""
    left = GaugeMetricFamily(
        "tcrconsole_credential_expires_seconds",
        "Until the password of an instance ends, below 0 since it did.",
        labels=["registry"],
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
        state = queue_state.inspect()
    except queue_state.QueueUnreachable:
        state = None
    yield GaugeMetricFamily("tcrconsole_queue_up", "1 when the queue answers.", value=float(state is not None))
    if state is not None:
        yield from _staff(state)


def _staff(state: queue_state.QueueState) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("tcrconsole_queue_jobs", "Jobs that wait for a worker.", labels=["queue"])
    for name, number in sorted(state.queued.items()):
        jobs.add_metric([name], number)
    yield jobs
    yield GaugeMetricFamily("tcrconsole_workers", "Workers alive.", value=len(state.workers))
    alive = pools.crew(worker.queues for worker in state.workers)
    by_pool = GaugeMetricFamily(
        "tcrconsole_pool_workers", "Workers alive that execute all tasks of a pool.", labels=["pool"]
    )
    for pool in sorted({"", *alive, *health.pools_named()}):
        by_pool.add_metric([pool or "default"], alive[pool])
    yield by_pool
    yield GaugeMetricFamily("tcrconsole_schedulers", "Schedulers alive.", value=state.schedulers)
    if state.scheduler_silent is not None:
        said = "Since the last sign of life of a scheduler."
        yield GaugeMetricFamily("tcrconsole_scheduler_heartbeat_seconds", said, value=state.scheduler_silent)
