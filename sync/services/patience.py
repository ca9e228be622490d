"""How long to wait before something that failed is tried again, and when to try no more."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.utils import timezone

from sync.models import TaskPart
from sync.oci.errors import OciError, TooManyRequests

# How often in a row something may fail in a way that waiting can heal, while its instance answers.
MAX_TRIES = 3
LONGEST_WAIT = timedelta(minutes=15)


@dataclass(frozen=True)
class PutOff:
    """What the part of a task waits with."""

    seconds: float
    tries: int
    since: datetime

    @cached_property
    def next_try_at(self) -> datetime:
        return timezone.now() + timedelta(seconds=self.seconds)

    def fields(self) -> dict[str, Any]:
        return {"tries": self.tries, "put_off_since": self.since, "not_before": self.next_try_at}


def put_off(part: TaskPart, errors: Collection[OciError], *, all_away: bool = False) -> PutOff | None:
    """None when waiting cannot heal it, or has been tried often or long enough.

    Being asked to wait (HTTP 429) does not count as a try, nor do the signs of an outage when nothing at all got
    through (`all_away`); then the wait grows with the time already waited.
    """
    if not errors or not all(error.retryable for error in errors):
        return None
    now = timezone.now()
    since = part.put_off_since or now
    limited = all(isinstance(error, TooManyRequests) or (all_away and error.outage) for error in errors)
    tries = part.tries if limited else part.tries + 1
    left = since + timedelta(hours=settings.OUTAGE_HOURS) - now
    if tries >= MAX_TRIES or left <= timedelta():
        return None
    told = max(error.retry_after or 0.0 for error in errors)
    waited = (now - since).total_seconds()
    backoff = min(max(settings.PUT_OFF_SECONDS * 3**part.tries, waited / 2), LONGEST_WAIT.total_seconds())
    return PutOff(min(max(told, backoff), left.total_seconds()), tries, since)
