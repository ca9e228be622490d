"""Taking down what a run tells, so that it is written in bunches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic

from django.conf import settings

from sync.models import SyncTask, TaskPart, TaskRepository, Trigger
from sync.replication.events import Event, Kept, RepositoryDone, ResourceDone, Tick
from sync.replication.lease import Lease
from sync.replication.work import RepositoryWork
from sync.services import removals, tallies, writing
from sync.services.memory import Memory, remembered
from sync.services.order import Umpire
from sync.services.patience import PutOff, put_off
from sync.services.sheet import Sheet

FLUSH_SECONDS = 1.0


class Recorder:
    """Takes the events of one run and writes them in bunches, each write conditional on the claim.

    `patient`: failures that waiting may heal are put off; else they are failures like any other. `umpire`: whose
    consent tags were written with, where others write there, too.
    """

    def __init__(self, task: SyncTask, token: str, *, patient: bool, umpire: Umpire | None = None) -> None:
        self._task = task
        self._token = token
        self._patient = patient
        self._umpire = umpire
        self._pushed = _told(task)
        self._sheets: dict[str, Sheet] = {}
        # The engine is done with these: written with all others, and until then their repositories stay ours.
        self._ended: dict[Sheet, PutOff | None] = {}
        self._flushed_at = self._beat_at = monotonic()
        self._failures = tallies.Failures(task)
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

    def open(self, parts: Sequence[TaskPart]) -> list[RepositoryWork]:
        """Claimed parts, about which events will come, as work for the engine."""
        whole = [_repository(part).target_name for part in parts if part.tags is None]
        memories = remembered(self._task, whole) if whole else {}
        for part in parts:
            if part.tags is not None:
                memories |= remembered(self._task, [_repository(part).target_name], part.tags)
        return [self._open(part, memories[_repository(part).target_name]) for part in parts]

    def _open(self, part: TaskPart, memory: Memory) -> RepositoryWork:
        repository = _repository(part)
        work = RepositoryWork(
            repository.name,
            None if part.tags is None else tuple(part.tags),
            frozenset(repository.digest_tags) if repository.listed and repository.digest_tags is not None else None,
            settings.TAGS_PER_CLAIM,
            memory.verified,
            memory.trusted,
            # Half the time after which another may take over: two clocks need not agree to the second.
            lease=Lease(settings.SILENT_SECONDS / 2),
            unlisted=self._task.trigger == Trigger.PUSH,
        )
        remaining = None if part.tags is None else dict.fromkeys(part.tags)
        if part.removing:
            work = _removing(work, part)
        self._sheets[repository.name] = sheet = Sheet(part, repository, work, remaining)
        sheet.attempt = part.put_offs + 1
        sheet.pushed = self._pushed.get(repository.name, {})
        if self._umpire is not None:
            sheet.goes_on = partial(self._umpire.goes_on, repository.target_name)
        return work

    def record(self, event: Event | Tick) -> None:
        if isinstance(event, ResourceDone) and event.error is not None:
            self._failures.met(event.error)
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
            if isinstance(event, ResourceDone | Kept) and self._umpire is not None and sheet is not None:
                self._umpire.done(sheet.repository.target_name, event.tag)
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
        self._failures.flush()
        if self._umpire is not None:
            self._umpire.release()

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

    def _write(self, sheets: Sequence[Sheet]) -> None:
        began = monotonic()
        ours = writing.write(self._task, self._token, sheets, self._ended)
        self._divided = self._divided or any(sheet.is_divided for sheet in ours)
        for sheet in sheets:
            if sheet in ours:
                sheet.work.lease.renew(began)
                sheet.written()
            else:
                sheet.work.lease.lose()
                sheet.lost = True
            if sheet in self._ended:
                del self._ended[sheet], self._sheets[sheet.repository.name]
        self._task.refresh_from_db(fields=[*SyncTask.FIELDS, "repository_count", "all_planned"])


def _repository(part: TaskPart) -> TaskRepository:
    assert part.repository is not None  # noqa: S101 - parts without one list repositories and are not recorded here
    return part.repository


def _removing(work: RepositoryWork, part: TaskPart) -> RepositoryWork:
    digests = removals.doomed(_repository(part))
    by_digest: defaultdict[str, set[str]] = defaultdict(set)
    for tag, digest in digests.items():
        by_digest[digest].add(tag)
    mine = {tag: digests[tag] for tag in part.tags or () if tag in digests}
    return replace(work, removing=mine, doomed=by_digest)


def _told(task: SyncTask) -> Mapping[str, Mapping[str, float]]:
    """When the pushes of the task were told, by repository and tag."""
    told: defaultdict[str, dict[str, float]] = defaultdict(dict)
    if task.trigger == Trigger.PUSH:
        for one in task.selection:
            told[one["repository"]][one["tag"]] = one["at"]
    return told
