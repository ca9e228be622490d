"""What loading a file changes, or would change, in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, Literal

from sync.models import Instance, SyncRule

SIGNS = {"created": "+", "changed": "~", "deleted": "-"}


@dataclass(frozen=True)
class Change:
    """`details` are the fields that differ, each as `difference` says it; only for what was changed."""

    verb: Literal["created", "changed", "deleted"]
    thing: Instance | SyncRule
    details: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """As `load_rules --diff` prints it."""
        name = f"instance {self.thing.name}" if isinstance(self.thing, Instance) else f"rule {self.thing}"
        for detail in self.details or [""]:
            yield f"{SIGNS[self.verb]} {name}{': ' if detail else ''}{detail}"


@dataclass
class Report:
    """What was changed, in order; how much was as the file says already; which stored secrets stayed, and why;
    what to think of that was loaded all the same."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def created(self) -> list[str]:
        return self._names("created")

    @property
    def changed(self) -> list[str]:
        return self._names("changed")

    @property
    def deleted(self) -> list[str]:
        return self._names("deleted")

    def _names(self, verb: str) -> list[str]:
        return [str(change.thing) for change in self.changes if change.verb == verb]


def difference(key: str, old: Any, new: Any) -> str:
    """`key: old -> new`; of texts of several lines, the lines that went and came."""
    if not any(isinstance(value, str) and "\n" in value for value in (old, new)):
        return f"{key}: {_shown(old)} -> {_shown(new)}"
    lines = list(unified_diff(old.split("\n"), new.split("\n"), n=0, lineterm=""))[2:]
    return "\n    ".join([f"{key}:", *(line for line in lines if not line.startswith("@@"))])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return "(blank)" if value in ("", None) else str(value)
