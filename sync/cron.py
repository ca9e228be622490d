"""Times of day by cron expressions, in time zones. Imports no Django."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

FIELDS = {
    "minute": "the first field, the minute, takes 0 to 59",
    "hour": "the second field, the hour, takes 0 to 23",
    "day-of-month": "the third field, the day of the month, takes 1 to 31, and the month must have it",
    "month": "the fourth field, the month, takes 1 to 12 or JAN to DEC",
    "day-of-week": "the fifth field, the day of the week, takes 0 to 7 or SUN to SAT, 0 and 7 for Sunday",
}
TAKEN = "five fields: minute, hour, day of the month, month, day of the week; for example 0 3 * * * for three at night"


class InvalidSchedule(ValueError):
    """The message is a sentence for whoever wrote the expression, or the name of the zone."""


def check_expression(expression: str) -> None:
    """Raises InvalidSchedule, which says what is wrong where."""
    _times(expression, datetime.now(UTC))


def check_zone(name: str) -> ZoneInfo:
    """Raises InvalidSchedule."""
    try:
        if name in zone_names():
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        pass
    raise InvalidSchedule(f"“{name}” is no time zone. Enter one like UTC, Europe/Berlin or Asia/Shanghai.")


@cache
def zone_names() -> tuple[str, ...]:
    """Continent and city, and UTC: not the many old names for them."""
    old = ("Etc/", "SystemV/", "US/", "Brazil/", "Canada/", "Chile/", "Mexico/")
    return ("UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith(old)))


def next_times(expression: str, zone: str, after: datetime, count: int = 1) -> list[datetime]:
    """In the zone. Where clocks are put forward, what falls into the gap comes right after it; where they are put
    back, once. Raises InvalidSchedule."""
    return list(islice(_times(expression, after.astimezone(check_zone(zone))), count))


def in_words(expression: str) -> str:
    """Raises InvalidSchedule."""
    words: str = _simulator(expression, datetime.now(UTC)).explain()
    return words


def _times(expression: str, after: datetime) -> Iterator[datetime]:
    return iter(_simulator(expression, after))


def _simulator(expression: str, after: datetime) -> CronSim:
    if len(expression.split()) != len(FIELDS):
        raise InvalidSchedule(f"Not a schedule: a cron expression has {TAKEN}.")
    try:
        return CronSim(expression, after)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise InvalidSchedule(f"Not a schedule: {FIELDS.get(field, str(error))}.") from None
