"""Writing down what a run tells: counts, resources worth a row, deliveries, log lines, and what is left to do."""

from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from sync.models import OPEN, Delivery, SyncTask, TaskPart, TaskRepository, TaskResource
from sync.replication.events import Event, RepositoryDone, ResourceDone, TagsListed, Tick
from sync.replication.lease import Lease
from sync.replication.work import RepositoryWork
from sync.services import claims, tasklog
from sync.services.memory import remembered
from sync.services.patience import PutOff, put_off
from sync.services.sheet import Sheet

FLUSH_SECONDS = 0.5


class Recorder:
    """Takes the events of one run and writes them in bunches, each write conditional on the claim.

    `patient`: failures that waiting may heal are put off; else they are failures like any other.
    """

    def __init__(self, task: SyncTask, token: str, *, patient: bool) -> None:
        self._task = task
        self._token = token
        self._patient = patient
        self._sheets: dict[str, Sheet] = {}
        # The engine is done with these: written with all others, and until then their repositories stay ours.
        self._ended: dict[Sheet, PutOff | None] = {}
        self._flushed_at = self._beat_at = monotonic()
        self.met_outage = False
        self._got_through = False
        self._divided = False

    def take_divided(self) -> bool:
        """Whether parts for others were made since it was asked last."""
        divided, self._divided = self._divided, False
        return divided

    @property
    def busy(self) -> list[int]:
        """The repositories of which we hold a part."""
        return [sheet.repository.pk for sheet in self._sheets.values()]

    @property
    def at_work(self) -> int:
        """On how many of them there is something left to do."""
        return len(self._sheets) - len(self._ended)

    def open(self, part: TaskPart) -> RepositoryWork:
        """A claimed part, about which events will come, as work for the engine."""
        repository = part.repository
        assert repository is not None  # noqa: S101 - parts without one list repositories and are not recorded here
        memory = remembered(self._task, [repository.target_name], part.tags)[repository.target_name]
        work = RepositoryWork(
            repository.name,
            None if part.tags is None else tuple(part.tags),
            frozenset(repository.digest_tags) if repository.listed else None,
            settings.TAGS_PER_CLAIM,
            memory.verified,
            memory.trusted,
            # Half the time after which another may take over: two clocks need not agree to the second.
            lease=Lease(settings.SILENT_SECONDS / 2),
        )
        remaining = None if part.tags is None else dict.fromkeys(part.tags)
        self._sheets[repository.name] = Sheet(part, repository, work, remaining)
        return work

    def record(self, event: Event | Tick) -> None:
        if isinstance(event, Event):
            sheet = self._sheets.get(event.repository)
            if sheet is None or sheet.lost:
                # Another worker has it by now. It stays ours to ignore until the engine is done with it.
                if isinstance(event, RepositoryDone):
                    self._sheets.pop(event.repository, None)
            elif isinstance(event, RepositoryDone):
                self._close(sheet)
            elif isinstance(event, ResourceDone) and event.error is not None and self._to_be_put_off(event):
                sheet.put_off(event)
            else:
                self._got_through = self._got_through or isinstance(event, ResourceDone)
                sheet.note(event)
        if monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what happened, and a sign of life now and then."""
        beat = monotonic() - self._beat_at >= settings.SILENT_SECONDS / 6
        due = [sheet for sheet in self._sheets.values() if sheet.changed or beat or sheet in self._ended]
        if due:
            self._write([sheet for sheet in due if not sheet.lost])
        if beat:
            self._beat_at = monotonic()
        self._flushed_at = monotonic()

    def flush_ended(self) -> bool:
        """Writes what the engine is done with, if there is such."""
        ended = list(self._ended)
        if ended:
            self._write(ended)
        return bool(ended)

    def _to_be_put_off(self, event: ResourceDone) -> bool:
        """A listing that failed is looked at when the part is closed, whether or not waiting can heal it."""
        error = event.error
        if self._patient and error is not None and error.outage:
            self.met_outage = True
        return not event.tag or bool(self._patient and error is not None and error.retryable)

    def _close(self, sheet: Sheet) -> None:
        """The engine is done with the part: all of it is done, or the rest goes back, now or after a while."""
        if sheet.came_forward:
            sheet.part.tries, sheet.part.put_off_since = 0, None
        wait = self._put_off(sheet) if self._patient else None
        if wait is None:
            sheet.fail()
        self._ended[sheet] = wait

    def _put_off(self, sheet: Sheet) -> PutOff | None:
        return put_off(sheet.part, sheet.errors, all_away=self.met_outage and not self._got_through)

    def _write(self, sheets: Iterable[Sheet]) -> None:
        began = monotonic()
        with transaction.atomic():
            # In this order, so that two workers never wait for each other's repositories.
            ordered = sorted(sheets, key=lambda sheet: sheet.repository.pk)
            ours = [sheet for sheet in ordered if self._write_sheet(sheet)]
            self._write_totals(ours)
        for sheet in ordered:
            if sheet in ours:
                sheet.work.lease.renew(began)
                sheet.written()
            else:
                sheet.work.lease.lose()
                sheet.lost = True
            if sheet in self._ended:
                del self._ended[sheet], self._sheets[sheet.repository.name]
        self._task.refresh_from_db(fields=[*SyncTask.FIELDS, "repository_count", "all_planned"])

    def _write_sheet(self, sheet: Sheet) -> bool:
        """False when the part is no longer ours: nothing is written then."""
        closing = sheet in self._ended
        if not _write_part(sheet, closing, self._ended.get(sheet)):
            return False
        if sheet.listing is not None:
            self._divided = _write_listing(sheet, sheet.listing) or self._divided
        claims.count(sheet.repository, sheet.numbers)
        if sheet.reason:
            TaskRepository.objects.filter(pk=sheet.repository.pk, reason="").update(reason=sheet.reason)
        _write_resources(sheet.resources)
        if closing:
            claims.settle(sheet.repository.pk)
        return True

    def _write_totals(self, sheets: Sequence[Sheet]) -> None:
        numbers: Counter[str] = Counter()
        for sheet in sheets:
            numbers.update(sheet.numbers)
        claims.count_in_task(self._task.pk, numbers)
        self._write_deliveries([delivery for sheet in sheets for delivery in sheet.deliveries])
        lines = sorted((line for sheet in sheets for line in sheet.lines), key=lambda line: line.at)
        tasklog.write(self._task, lines)
        if any(sheet.listing or not sheet.repository.listed for sheet in sheets):
            unlisted = TaskRepository.objects.filter(task=self._task, listed=False, status__in=OPEN)
            SyncTask.objects.filter(pk=self._task.pk).update(all_planned=not unlisted.exists())

    def _write_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """After the task was locked: who deletes its rule takes the rule from the task before anything else."""
        if not deliveries:
            return
        locked = SyncTask.objects.select_for_update(no_key=True).values_list("rule_id", "target_id")
        rule_id, target_id = locked.get(pk=self._task.pk)
        if rule_id is None or target_id is None:
            return
        for delivery in deliveries:
            delivery.rule_id, delivery.target_id = rule_id, target_id
        Delivery.objects.bulk_create(
            deliveries,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["rule", "target", "repository", "tag"],
            update_fields=["digest", "delivered_at", "brought"],
        )


def _write_part(sheet: Sheet, closing: bool, wait: PutOff | None) -> bool:
    part = claims.owned(sheet.part)
    tags = None if sheet.remaining is None else list(sheet.remaining)
    changes: dict[str, Any] = {"heartbeat_at": Now()}
    if sheet.came_forward:
        changes |= claims.FORWARD | {"tags": tags}
        sheet.part.tries, sheet.part.put_off_since = 0, None
    if not closing:
        return bool(part.update(**changes))
    if tags == []:
        return bool(part.delete()[0])
    if wait is not None:
        changes |= _put_off(sheet, wait)
    return bool(part.update(**changes, claim=""))


def _put_off(sheet: Sheet, wait: PutOff) -> dict[str, Any]:
    """The part waits; what is shown of its repository and written to the log says for what."""
    tag, event = next(iter(sheet.failures.items()))
    others = f" So did {len(sheet.failures) - 1} others." if len(sheet.failures) > 1 else ""
    said = f"{tag or 'Its tags'}: {event.error}{others}"
    sheet.say(tasklog.WARNING, f"{said} Tried again in {wait.seconds:.0f} s.")
    TaskRepository.objects.filter(pk=sheet.repository.pk).update(reason=said, next_try_at=wait.next_try_at)
    return wait.fields()


def _write_listing(sheet: Sheet, listing: TagsListed) -> bool:
    """The tags beyond those that we take up are parts of their own, for whoever comes. True when there are such."""
    size = sheet.work.at_most
    rest = [listing.tags[at : at + size] for at in range(size, len(listing.tags), size)]
    part = sheet.part
    TaskPart.objects.bulk_create(
        TaskPart(task_id=part.task_id, repository_id=part.repository_id, tags=list(tags)) for tags in rest
    )
    if listing.digest_tags is not None:
        sheet.repository.listed = True
        known = sorted(listing.digest_tags)
        TaskRepository.objects.filter(pk=sheet.repository.pk).update(listed=True, digest_tags=known)
    return bool(rest)


def _write_resources(rows: Iterable[TaskResource]) -> None:
    written = "kind outcome digest target_digest moved_bytes side operation http_status code reason hint retryable"
    TaskResource.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["repository", "tag"],
        update_fields=[*written.split(), "finished_at"],
    )
