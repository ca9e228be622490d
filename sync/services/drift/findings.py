"""What a check finds, and how far it has come."""

from dataclasses import dataclass, field
from enum import StrEnum

# So many findings of a check are listed; those beyond are counted.
MOST_LISTED = 500


class What(StrEnum):
    """What becomes a line, in the words that pages show; what is equal is only counted."""

    MISSING = "Missing in the target"
    OVERWRITE = "Different, would be overwritten"
    CONFLICT = "Different, stays as it is"
    EXTRA = "There, but not in the source"
    UNKNOWN = "Cannot be told"


class Stage(StrEnum):
    """A check goes first through the repositories of the source, then through those that the target alone has."""

    SOURCE = "source"
    TARGET = "target"
    DONE = "done"


@dataclass(frozen=True)
class Finding:
    """One tag; without a tag, something about the whole repository. Digests are blank where a side holds nothing."""

    what: What
    repository: str
    target_repository: str
    tag: str = ""
    digest: str = ""
    target_digest: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """Where it is: in the target for what the source does not have."""
        repository = self.target_repository if self.what is What.EXTRA else self.repository
        return f"{repository}:{self.tag}" if self.tag else repository

    @property
    def name_there(self) -> str:
        """Its name in the target, where that is another one; else blank."""
        there = f"{self.target_repository}:{self.tag}" if self.tag else self.target_repository
        return "" if there == self.name else there


@dataclass
class Progress:
    """How far a check has come, small enough for a URL. All before this tag of this repository is compared.

    key: tells this check from others. A blank tag: all of the repository. tags: those of the source.
    """

    key: str
    stage: Stage = Stage.SOURCE
    repository: str = ""
    tag: str = ""
    steps: int = 0
    repositories: int = 0
    tags: int = 0
    equal: int = 0
    missing: int = 0
    overwrite: int = 0
    conflict: int = 0
    extra: int = 0
    unknown: int = 0
    left_out: int = 0

    @property
    def different(self) -> int:
        return self.overwrite + self.conflict

    @property
    def found(self) -> int:
        """How many lines there are, listed or not."""
        return self.missing + self.different + self.extra + self.unknown

    @property
    def unlisted(self) -> int:
        return max(0, self.found - MOST_LISTED)

    @property
    def is_done(self) -> bool:
        return self.stage is Stage.DONE

    @property
    def brings(self) -> bool:
        """Whether a run of the rule would change anything, for all that is known."""
        return bool(self.missing or self.overwrite)


@dataclass
class Step:
    """What one step found. problem: why it ended early, a sentence; the check can go on from `progress`.

    others_problem: why it cannot be told whether the target has whole repositories that the source lacks.
    listing: so many names were read of a list that is not complete.
    crowded: nothing was looked at, because others are checking.
    """

    progress: Progress
    findings: list[Finding] = field(default_factory=list)
    problem: str = ""
    others_problem: str = ""
    listing: int = 0
    crowded: bool = False

    def add(self, finding: Finding) -> None:
        """Counts it, and lists it while there is room."""
        counter = finding.what.name.lower()
        if self.progress.found < MOST_LISTED:
            self.findings.append(finding)
        setattr(self.progress, counter, getattr(self.progress, counter) + 1)
