"""What a worker knows about one part that it claimed: what is left to do, and what is not written yet."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import time

from django.template.defaultfilters import filesizeformat

from sync.models import Delivery, LogLine, Notification, TaskPart, TaskRepository, TaskResource
from sync.oci.errors import OciError
from sync.oci.reference import digest_tags
from sync.replication.events import BytesMoved, Event, Kept, LeftOut, Outcome, ResourceDone, TagsListed, Vanished
from sync.replication.work import RepositoryWork
from sync.services import claims, tasklog


def _nowhere(tag: str) -> bool:
    return False


@dataclass(eq=False)
class Sheet:
    """One claimed part. `came_forward`: something of it was done since the last write; `lost`: another has it."""

    part: TaskPart
    repository: TaskRepository
    work: RepositoryWork
    # In order; None before the tags are listed.
    remaining: dict[str, None] | None
    # When its push was told (seconds since the epoch), by tag; under a blank tag for all.
    pushed: Mapping[str, float] = field(default_factory=dict)
    # Whether a rule carries the tag on from the target.
    goes_on: Callable[[str], bool] = _nowhere
    numbers: Counter[str] = field(default_factory=Counter)
    listing: TagsListed | None = None
    # Failures that waiting may heal, by tag; a blank tag: the listing failed.
    failures: dict[str, ResourceDone] = field(default_factory=dict)
    reason: str = ""
    resources: list[TaskResource] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    onward: list[Notification] = field(default_factory=list)
    # No longer in the source; to be deleted in the target, and kept there for a reason.
    gone: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    # The how-manieth try this is of what is left.
    attempt: int = 1
    # What is under way as it was written last.
    told_under_way: dict[str, list[int]] = field(default_factory=dict)
    came_forward: bool = False
    changed: bool = False
    lost: bool = False

    @property
    def is_divided(self) -> bool:
        """Whether its tags were listed just now, and are more than one owner takes up."""
        return self.listing is not None and len(self.listing.tags) > self.work.at_most

    @property
    def has_all_tags(self) -> bool:
        """Whether a listing tells all tags that match, not just some that were asked for."""
        return self.work.tags is None

    def note(self, event: Event) -> None:
        """Takes what the engine tells, failures that are put off excepted."""
        self.changed = True
        if isinstance(event, TagsListed):
            self._note_listing(event)
        elif isinstance(event, LeftOut):
            self._done(event.tag, "left_out")
            self.numbers["planned"] -= 1
        elif isinstance(event, Vanished):
            self._done(event.tag, "vanished")
            self.numbers["planned"] -= 1
            self.gone.append(event.tag)
            self.say(tasklog.WARNING, f"{event.tag}: no longer in the source.")
        elif isinstance(event, Kept):
            self._leave(event.tag)
            self.numbers["planned"] -= 1
            self.kept.append(event.tag)
            self.say(tasklog.WARNING, f"{event.tag}: not deleted in the target, {event.reason}.")
        elif isinstance(event, BytesMoved):
            self.numbers["moved_bytes"] += event.count
        elif isinstance(event, ResourceDone):
            self._note_outcome(event)

    def put_off(self, event: ResourceDone) -> None:
        """Remembers a failure until it is known whether it is final."""
        self.changed = True
        self.failures[event.tag] = event

    @property
    def under_way(self) -> dict[str, list[int]]:
        """By tag, the bytes that were sent of it and those that are to be sent, as far as is known."""
        moving = self.work.under_way.copy()
        return {tag: [one.moved_bytes, max(one.moved_bytes, one.expected_bytes)] for tag, one in moving.items()}

    @property
    def errors(self) -> list[OciError]:
        return [event.error for event in self.failures.values() if event.error is not None]

    def fail(self) -> None:
        """What was put off failed for good. Without the list of its tags, so did every tag that was to be copied."""
        listing = self.failures.pop("", None)
        if listing is not None:
            tags = list(self.remaining or [""])
            self.numbers["planned"] += 0 if self.repository.listed else len(tags)
            for tag in tags:
                self._note_outcome(ResourceDone(listing.repository, tag, Outcome.FAILED, error=listing.error))
            self.remaining = {}
        for event in self.failures.values():
            self._note_outcome(event)
        self.failures.clear()

    def _note_listing(self, event: TagsListed) -> None:
        """Once for a repository: where digest tags are not known, each of its parts looks for them and tells again."""
        if self.repository.listed:
            return
        self.listing = event
        self.remaining = dict.fromkeys(event.tags[: self.work.at_most])
        self.numbers["planned"] += len(event.tags)
        self.came_forward = True
        self.reason = "The source has no repository of this name." if event.repository_missing else ""
        self.say(
            tasklog.INFO,
            self.reason or ("1 tag matches." if len(event.tags) == 1 else f"{len(event.tags)} tags match."),
        )

    def _note_outcome(self, event: ResourceDone) -> None:
        self._done(event.tag, event.outcome)
        self._note_delivery(event)
        if event.outcome is Outcome.UNCHANGED:
            return
        row = _resource_row(self.repository, event)
        row.attempts = self.attempt
        self.resources.append(row)
        if event.outcome is Outcome.COPIED:
            self._note_arrival(row)
        if event.error is not None:
            self.reason = self.reason or str(event.error)
            self.say(tasklog.ERROR, ": ".join(filter(None, (event.tag, str(event.error)))))
        elif event.outcome is Outcome.CONFLICT:
            self.say(tasklog.WARNING, f"{event.tag}: left alone, the target has another digest, {event.target_digest}.")
        elif event.outcome is Outcome.SUPERSEDED:
            self.say(tasklog.INFO, f"{event.tag}: left alone, the target holds a newer push, {event.target_digest}.")
        elif event.outcome is Outcome.REMOVED:
            self._note_removal(event)
        else:
            moved = f", {filesizeformat(event.moved_bytes)} moved" if event.moved_bytes else ""
            self.say(tasklog.INFO, f"{event.tag}: copied{moved}.")

    def _note_delivery(self, event: ResourceDone) -> None:
        """What the target holds now as the rule promises, if that was not known before."""
        if event.outcome not in (Outcome.COPIED, Outcome.UNCHANGED):
            return
        brought = event.outcome is Outcome.COPIED and event.digest != event.target_digest
        if brought or self.work.verified.get(event.tag) != event.digest:
            self.deliveries.append(
                Delivery(repository=self.repository.target_name, tag=event.tag, digest=event.digest, brought=brought)
            )

    def _note_removal(self, event: ResourceDone) -> None:
        self.say(tasklog.INFO, f"{event.tag}: {'deleted' if event.target_digest else 'was gone already'}.")
        if self.goes_on(event.tag):
            name, gone = self.repository.target_name, Notification.Action.DELETE
            self.onward.append(Notification(repository=name, tag=event.tag, action=gone, own=True))

    def _note_arrival(self, row: TaskResource) -> None:
        """How late it is, and who else is to have it."""
        told = self.pushed.get(row.tag, self.pushed.get(""))
        if told is not None:
            row.lag_seconds = max(0.0, time() - told)
        if self.goes_on(row.tag):
            # What came to an equal tag is what describes it: told as its registry would.
            tag = row.tag if row.digest != row.target_digest else digest_tags(row.digest)[0]
            name = self.repository.target_name
            self.onward.append(Notification(repository=name, tag=tag, digest=row.digest, own=True))

    def _done(self, tag: str, outcome: str) -> None:
        """The tag leaves what remains and is counted, both in the next write."""
        self._leave(tag)
        self.numbers[outcome] += 1

    def _leave(self, tag: str) -> None:
        if self.remaining is not None:
            self.remaining.pop(tag, None)
        self.came_forward = True

    def say(self, level: str, message: str) -> None:
        self.lines.append(tasklog.line(level, message, self.repository.name))

    def written(self) -> None:
        self.numbers.clear()
        self.listing = None
        self.resources, self.deliveries, self.lines, self.onward = [], [], [], []
        self.gone, self.kept = [], []
        self.came_forward = self.changed = False


def _resource_row(repository: TaskRepository, event: ResourceDone) -> TaskResource:
    failure = claims.failure_fields(event.error or OciError(""))
    if event.outcome is Outcome.SUPERSEDED:
        failure["reason"] = "The target holds a newer push, which stays. Sync does what the rule says."
    return TaskResource(
        repository=repository,
        tag=event.tag,
        kind=event.kind or "",
        outcome=event.outcome,
        digest=event.digest,
        target_digest=event.target_digest,
        moved_bytes=event.moved_bytes,
        size=event.size,
        **failure,
    )
