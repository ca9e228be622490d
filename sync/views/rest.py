"""Lists at rest: a poll of one is answered from the rows that it shows, without looking up and rendering all of it."""

import hashlib
from collections.abc import Iterable

from django.db.models import Model

from sync.views.http import Request, wants_fragment
from sync.views.layout import Layout

# Columns that change though nothing does that is shown.
NOT_SHOWN = {"_state", "lag_counted_at", "next_run_at"}
OF_AN_INSTANCE = ("name", "region", "poll_minutes", "down_since", "healthy", "health_reason", "credential_warning")


def pulse_of(request: Request, rows: Iterable[Model], *besides: object) -> str:
    """A mark of all that the list shows while it is at rest; it stands in the URL of the next poll.

    besides: what is shown that is no column of the rows. Where something moves by itself, there is none to be had.
    """
    shown = [[_columns(row), _sides(row)] for row in rows]
    told = f"{Layout.of(request).failing} {shown} {besides}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def is_known(request: Request, pulse: str) -> bool:
    """Whether it is a poll by somebody who has just that already."""
    return bool(pulse) and wants_fragment(request) and request.GET.get("pulse") == pulse


def _columns(row: Model) -> list[tuple[str, object]]:
    return [(name, value) for name, value in vars(row).items() if name not in NOT_SHOWN]


def _sides(row: Model) -> list[object]:
    """What of its instances can be seen, as far as they were looked up with it."""
    known = row._state.fields_cache
    sides = (known[side] for side in ("source", "target") if side in known)
    return [getattr(instance, name, None) for instance in sides for name in OF_AN_INSTANCE]
