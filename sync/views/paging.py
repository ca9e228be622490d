"""Pages of a list by keyset: a page begins after a row, not after so many rows.

Rows may come and go between two pages: none is shown twice or left out for it, and no page costs more than the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

from sync.views.http import Request

ROWS_A_PAGE = 50
COUNTED_ROWS = 1000
Row = TypeVar("Row", bound=Model)
Kind = Callable[[str], Any]
"""Makes a key of its text in a URL; None of what is no such key."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`back` and `on`: from where the pages before and behind this one are asked for; blank where there is none."""

    rows: Sequence[Row]
    back: str = ""
    on: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it is all that the list has."""
        return not (self.back or self.on)


def page_of(request: Request, rows: QuerySet[Row], descending: bool = False, **keys: Kind) -> Page[Row]:
    """The page that the URL asks for by `after` or `before`; the first one when that lies beyond an end.

    keys: fields by which the rows are ordered and told apart, all of them ascending or all descending; never null.
    """
    order = Order(keys, descending)
    before, after = (order.read(request.GET.get(name, "")) for name in ("before", "after"))
    if before:
        found = order.beyond(rows, before, backwards=True)
        # With fewer the first page holds all of them, and is full.
        if len(found) > ROWS_A_PAGE:
            shown = found[:ROWS_A_PAGE][::-1]
            return Page(shown, order.mark(shown[0]), order.mark(shown[-1]))
    found = order.beyond(rows, after) if after else []
    if found:
        shown = found[:ROWS_A_PAGE]
        return Page(shown, order.mark(shown[0]), order.on(found))
    found = order.beyond(rows, {})
    return Page(found[:ROWS_A_PAGE], "", order.on(found))


def count_up_to(rows: QuerySet[Row], page: Page[Row]) -> int:
    """How many rows the list has, COUNTED_ROWS + 1 standing for any more: nothing counts a large table."""
    return len(page.rows) if page.is_whole else rows.order_by()[: COUNTED_ROWS + 1].count()


def told(count: int, one: str, many: str) -> str:
    """`told(3, "rule", "rules")` is "3 rules"."""
    if count > COUNTED_ROWS:
        return f"More than {COUNTED_ROWS:,} {many}"
    return f"{count:,} {one if count == 1 else many}"


def text_key(text: str) -> str | None:
    return None if "\0" in text else text


@dataclass(frozen=True)
class Order:
    keys: Mapping[str, Kind]
    descending: bool

    def read(self, text: str | None) -> dict[str, Any]:
        """The keys of the row that the URL names; none of them when it names no row."""
        parts = text.split(",", len(self.keys) - 1) if text else []
        if len(parts) != len(self.keys):
            return {}
        values = {name: kind(part) for (name, kind), part in zip(self.keys.items(), parts, strict=True)}
        return {} if None in values.values() else values

    def mark(self, row: Row) -> str:
        return ",".join(str(getattr(row, name)) for name in self.keys)

    def on(self, found: Sequence[Row]) -> str:
        """Where the next page begins, when more was found than is shown."""
        return self.mark(found[ROWS_A_PAGE - 1]) if len(found) > ROWS_A_PAGE else ""

    def beyond(self, rows: QuerySet[Row], values: Mapping[str, Any], backwards: bool = False) -> list[Row]:
        """The rows of one page behind those keys, or before them and backwards; one more tells that it goes on."""
        down = self.descending != backwards
        if values:
            rows = rows.filter(_behind(values, "lt" if down else "gt"))
        ordered = rows.order_by(*(f"-{name}" if down else name for name in self.keys))
        return list(ordered[: ROWS_A_PAGE + 1])


def _behind(values: Mapping[str, Any], way: str) -> Q:
    """The first key is behind its value, or it is equal and the second is, and so on."""
    behind, equal = Q(), Q()
    for name, value in values.items():
        behind |= equal & Q(**{f"{name}__{way}": value})
        equal &= Q(**{name: value})
    return behind
