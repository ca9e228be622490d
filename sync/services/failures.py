"""At which side a task failed and for which causes, for whoever looks where to mend it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sync.models import Instance, Status, SyncTask, TaskResource

# Of so many failures it is told; the next ones would say the same.
LOOKED_AT = 200
SIDES = ("source", "target")
# So many failures are put together by their causes.
GROUPED = 1000
# As sync.oci.errors puts a reason together.
WHERE_AND_DOING = re.compile(r"^(Source|Target)\b[^:]*: (?:cannot .*?: )?")


@dataclass(frozen=True)
class Side:
    """The source or the target of a task, where all its failures are."""

    name: str
    instance: Instance


def side_of(task: SyncTask) -> Side | None:
    """None where a task has not ended, did not fail, failed at both sides or at none, or that instance is deleted."""
    if task.is_open or not (task.failed or task.status == Status.FAILED):
        return None
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    sides = set(failed.order_by().values_list("side", flat=True)[:LOOKED_AT]) or _told_by(task.reason)
    for name, instance in zip(SIDES, (task.source, task.target), strict=True):
        if sides == {name} and instance is not None:
            return Side(name, instance)
    return None


def _told_by(reason: str) -> set[str]:
    """Where the task failed as a whole there are no resources; see OciError.reason."""
    return {name for name in SIDES if reason.startswith(f"{name.capitalize()} ")}


@dataclass
class Cause:
    """What some resources failed of, alike but for their names; `_alike` has none of their tags."""

    _alike: str
    hint: str
    resources: list[TaskResource] = field(default_factory=list)

    @property
    def words(self) -> str:
        """In short, what happened at which side."""
        return self._alike if self.number > 1 else in_short(self.first.reason)

    @property
    def first(self) -> TaskResource:
        return self.resources[0]

    @property
    def number(self) -> int:
        return len(self.resources)

    @property
    def repositories(self) -> int:
        return len({one.repository_id for one in self.resources})


@dataclass(frozen=True)
class Causes:
    """Of an ended task, the most frequent one first. Not `whole`: it has more failures than were looked at."""

    found: list[Cause]
    whole: bool


def in_short(reason: str) -> str:
    """A failure without what was being done, and the next step: which side, and what happened."""
    return WHERE_AND_DOING.sub(r"\1: ", reason).partition(". ")[0].removesuffix(".")


def by_cause(resources: Iterable[TaskResource]) -> list[Cause]:
    """Failures that differ by no more than names and what was being done are one; in the order of their first ones."""
    causes: dict[tuple[object, ...], Cause] = {}
    for one in resources:
        words = _without_name(in_short(one.reason), one.tag)
        alike = words, one.side, one.http_status, one.code, one.hint, one.retryable
        causes.setdefault(alike, Cause(words, one.hint)).resources.append(one)
    return list(causes.values())


def causes_of(task: SyncTask) -> Causes | None:
    """None where the task has not ended, or not even two failures could be alike."""
    if task.is_open or task.failed < 2:
        return None
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    told = ["repository_id", "tag", "side", "http_status", "code", "reason", "hint", "retryable"]
    rows = list(failed.only(*told).order_by("repository_id", "tag")[: GROUPED + 1])
    found = sorted(by_cause(rows[:GROUPED]), key=lambda cause: -cause.number)
    return Causes(found, len(rows) <= GROUPED) if rows else None


def _without_name(words: str, tag: str) -> str:
    return re.sub(rf"(?<![\w.-]){re.escape(tag)}(?![\w.-])", "…", words) if tag else words
