"""Why something failed, in words that may name hosts: whoever reads it sees of them what they may."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Self

from django.db import models

# What reasons are put through as they come out of the database; None where nobody reads along, as in a worker.
reader: ContextVar[Callable[[str], str] | None] = ContextVar("reader", default=None)


class Reason(str):
    """As it may be shown. in_full: as it is stored, and stored again."""

    __slots__ = ("in_full",)
    in_full: str

    def __new__(cls, shown: str, in_full: str | None = None) -> Self:
        reason = super().__new__(cls, shown)
        reason.in_full = shown if in_full is None else in_full
        return reason


def in_full(reason: str) -> str:
    """For what is stored again, or shown to none but who may read it."""
    return reason.in_full if isinstance(reason, Reason) else reason


class ReasonField(models.TextField):  # type: ignore[type-arg]
    """A text that is shown through the `reader`, so that no page, list or download can forget it."""

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs  # to the database it is nothing else

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        shown = reader.get()
        return value if shown is None or not value else Reason(shown(value), value)

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(in_full(value))
