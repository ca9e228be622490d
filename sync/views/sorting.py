"""By what the list of rules is ordered. It stands in the URL; what is not understood of it is the order by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Coalesce

from sync.models import SyncRule
from sync.views.http import number
from sync.views.paging import Kind, text_key

# Beyond every lag: rules without one stand last either way, as there is nothing to tell of them.
ENDLESS = 1e15


def _lag_key(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) else None


def _flag_key(text: str) -> bool | None:
    return {"True": True, "False": False}.get(text)


def _prepared(rules: QuerySet[SyncRule], key: str, descending: bool) -> QuerySet[SyncRule]:
    """Keys of pages are never null."""
    if key == "ran":
        return rules.annotate(ran=Coalesce(F("newest_task"), Value(0)))
    if key == "lag":
        return rules.annotate(lag=Coalesce(F("lag_median"), Value(-1.0 if descending else ENDLESS)))
    return rules


@dataclass(frozen=True)
class Column:
    """key: by which it orders, its text in a URL read by `kind`. falling: the order that is wanted first."""

    name: str
    label: str
    key: str
    kind: Callable[[str], object]
    falling: bool = True


COLUMNS = (
    Column("name", "Name", "name", text_key, falling=False),
    Column("run", "Last run", "ran", number),
    Column("lag", "Lag", "lag", _lag_key),
    Column("status", "Status", "enabled", _flag_key),
)


@dataclass(frozen=True)
class Head:
    """The head of a column as a link: `sort` is what it asks for, `state` its aria-sort, blank where it orders none."""

    name: str
    label: str
    sort: str
    state: str


@dataclass(frozen=True)
class Sorting:
    column: Column
    descending: bool
    asked: bool

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Sorting":
        text = query.get("sort", "")
        for column in COLUMNS:
            if text.removeprefix("-") == column.name:
                return cls(column, text.startswith("-"), True)
        return cls(COLUMNS[0], False, False)

    @property
    def value(self) -> str:
        """As it stands in the URL; blank when nobody asked for it."""
        return self._text(self.column, self.descending) if self.asked else ""

    @property
    def words(self) -> str:
        return f", sorted by {self.column.label.lower()}, {self._way}" if self.asked else ""

    @property
    def keys(self) -> dict[str, Kind]:
        """Of the pages of the list: names tell rules apart that are alike otherwise."""
        return {self.column.key: self.column.kind, "name": text_key}

    @property
    def heads(self) -> dict[str, Head]:
        return {column.name: self._head(column) for column in COLUMNS}

    @property
    def _way(self) -> str:
        return "descending" if self.descending else "ascending"

    def of_rules(self, rules: QuerySet[SyncRule]) -> QuerySet[SyncRule]:
        """rules: with their newest tasks."""
        return _prepared(rules, self.column.key, self.descending)

    def _head(self, column: Column) -> Head:
        is_mine = column == self.column
        falling = not self.descending if is_mine else column.falling
        return Head(column.name, column.label, self._text(column, falling), self._way if is_mine else "")

    @staticmethod
    def _text(column: Column, falling: bool) -> str:
        return f"-{column.name}" if falling else column.name
