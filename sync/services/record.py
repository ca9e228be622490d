"""Writing down what a run tells: counts, resources worth a row, deliveries, and the totals of the task."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from sync.models import OPEN, Delivery, Status, SyncRule, SyncTask, TaskRepository, TaskResource
from sync.oci.errors import OciError
from sync.replication.events import (
    BytesMoved,
    Event,
    LeftOut,
    Outcome,
    RepositoryDone,
    ResourceDone,
    TagsListed,
    Tick,
    Vanished,
)

FLUSH_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0


@dataclass
class _Sheet:
    """What we know about one claimed repository; its numbers are totals since the claim."""

    row: TaskRepository
    copied_before: dict[str, str]
    verified: dict[str, str]
    resources: list[TaskResource] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    changed: bool = False

    def count(self, outcome: str) -> None:
        setattr(self.row, outcome, getattr(self.row, outcome) + 1)

    def numbers(self) -> dict[str, Any]:
        fields = (*TaskRepository.FIELDS, "left_out", "vanished", "tags_planned", "reason")
        return {name: getattr(self.row, name) for name in fields}


class Recorder:
    """Takes the events of one run and writes them in bunches, each write conditional on the claim."""

    def __init__(self, task: SyncTask, token: str) -> None:
        self._task = task
        self._token = token
        self._sheets: dict[str, _Sheet] = {}
        self._flushed_at = self._heartbeat_at = monotonic()

    def open(self, row: TaskRepository) -> dict[str, str]:
        """A claimed repository, about which events will come. Returns what the rule verified last: digests by tag."""
        copied = row.resources.filter(outcome=TaskResource.Outcome.COPIED)
        task = self._task
        known = Delivery.objects.filter(rule_id=task.rule_id, target_id=task.target_id, repository=row.target_name)
        verified = dict(known.values_list("tag", "digest"))
        self._sheets[row.name] = _Sheet(row, dict(copied.values_list("tag", "digest")), verified)
        return verified

    def record(self, event: Event | Tick) -> TaskRepository | None:
        """Returns the repository when it was interrupted: the caller decides what becomes of it."""
        interrupted = None
        if isinstance(event, Event):
            sheet = self._sheets[event.repository]
            sheet.changed = True
            if isinstance(event, RepositoryDone):
                interrupted = self._close(sheet, event)
            else:
                _note(sheet, event)
        if monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()
        return interrupted

    def flush(self) -> None:
        beat = monotonic() - self._heartbeat_at >= HEARTBEAT_SECONDS
        due = [sheet for sheet in self._sheets.values() if sheet.changed or beat]
        for sheet in due:
            self._write(sheet)
        if due:
            refresh_totals(self._task)
            self._heartbeat_at = monotonic()
        self._flushed_at = monotonic()

    def _close(self, sheet: _Sheet, event: RepositoryDone) -> TaskRepository | None:
        end = {} if event.interrupted else {"status": _end_of(sheet.row)}
        self._write(sheet, **end)
        del self._sheets[event.repository]
        return sheet.row if event.interrupted else None

    def _write(self, sheet: _Sheet, **end: Any) -> None:
        with transaction.atomic():
            owned = TaskRepository.objects.filter(pk=sheet.row.pk, claim=self._token, status=Status.SYNCHRONIZING)
            if owned.update(heartbeat_at=timezone.now(), **sheet.numbers(), **end):
                _write_resources(sheet.resources)
                self._write_deliveries(sheet)
        sheet.resources, sheet.deliveries, sheet.changed = [], [], False

    def _write_deliveries(self, sheet: _Sheet) -> None:
        rule_id, target_id = self._task.rule_id, self._task.target_id
        if not (sheet.deliveries and rule_id and target_id and SyncRule.objects.filter(pk=rule_id).exists()):
            return
        for delivery in sheet.deliveries:
            delivery.rule_id, delivery.target_id = rule_id, target_id
        Delivery.objects.bulk_create(
            sheet.deliveries,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["rule", "target", "repository", "tag"],
            update_fields=["digest", "delivered_at", "brought"],
        )


def _note(sheet: _Sheet, event: Event) -> None:
    row = sheet.row
    if isinstance(event, TagsListed):
        row.planned += event.count
        row.tags_planned = True
        row.reason = "The source has no repository of this name." if event.repository_missing else ""
    elif isinstance(event, LeftOut):
        row.planned -= 1
        row.left_out += 1
    elif isinstance(event, Vanished):
        row.planned -= 1
        row.vanished += 1
    elif isinstance(event, BytesMoved):
        row.moved_bytes += event.count
    elif isinstance(event, ResourceDone):
        _note_resource(sheet, event)


def _note_resource(sheet: _Sheet, event: ResourceDone) -> None:
    if not event.tag:
        # A repository whose tags could not be listed counts as one resource that failed: never 100 %.
        sheet.row.planned += 1
    if event.error is not None and not sheet.row.reason:
        sheet.row.reason = str(event.error)
    _note_delivery(sheet, event)
    if event.outcome is Outcome.UNCHANGED:
        before = sheet.copied_before.get(event.tag) == event.digest
        sheet.count(Outcome.COPIED if before else Outcome.UNCHANGED)
        return
    sheet.count(event.outcome)
    sheet.resources.append(_resource_row(sheet.row, event))


def _note_delivery(sheet: _Sheet, event: ResourceDone) -> None:
    """What the target holds now as the rule promises, if that was not known before."""
    if event.outcome not in (Outcome.COPIED, Outcome.UNCHANGED):
        return
    brought = event.outcome is Outcome.COPIED and event.digest != event.target_digest
    if brought or sheet.verified.get(event.tag) != event.digest:
        delivery = Delivery(repository=sheet.row.target_name, tag=event.tag, digest=event.digest, brought=brought)
        sheet.deliveries.append(delivery)


def _resource_row(row: TaskRepository, event: ResourceDone) -> TaskResource:
    error = event.error or OciError("")
    return TaskResource(
        repository=row,
        tag=event.tag,
        kind=event.kind or "",
        outcome=event.outcome,
        digest=event.digest,
        target_digest=event.target_digest,
        moved_bytes=event.moved_bytes,
        side=error.side,
        operation=error.operation[:600],
        http_status=error.status,
        code=error.code[:64],
        reason=error.reason,
        hint=error.hint,
        retryable=error.retryable,
    )


def _write_resources(rows: Iterable[TaskResource]) -> None:
    written = "kind outcome digest target_digest moved_bytes side operation http_status code reason hint retryable"
    TaskResource.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["repository", "tag"],
        update_fields=[*written.split(), "finished_at"],
    )


def _end_of(row: TaskRepository) -> Status:
    if not row.failed:
        return Status.SUCCEEDED
    return Status.PARTIAL if row.succeeded else Status.FAILED


def refresh_totals(task: SyncTask) -> None:
    """Sums up the repositories. Under the lock of the task, so that the last writer has seen all others."""
    with transaction.atomic():
        SyncTask.objects.select_for_update().filter(pk=task.pk).first()
        rows = TaskRepository.objects.filter(task=task)
        sums = rows.aggregate(**{f"total_{name}": Sum(name, default=0) for name in SyncTask.FIELDS})
        totals = {name: sums[f"total_{name}"] for name in SyncTask.FIELDS}
        # A repository that turned out to hold nothing of what the rule asks for did not need to be synchronized.
        needless = Q(planned=0, status=Status.SUCCEEDED)
        totals["repository_count"] = rows.exclude(needless).count()
        totals["all_planned"] = not rows.filter(tags_planned=False, status__in=OPEN).exists()
        SyncTask.objects.filter(pk=task.pk).update(**totals)
    for name, value in totals.items():
        setattr(task, name, value)
