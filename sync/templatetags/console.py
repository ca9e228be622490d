"""How the pages write times, durations, rates and icons."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from sync.access import Right
from sync.models import OPEN, Instance, Status, SyncRule, SyncTask, TaskRepository
from sync.models.reason import in_full
from sync.oci.reference import NAMESPACE_TOP
from sync.services.drift import What
from sync.services.failures import in_short
from sync.services.fitting import type_fault
from sync.services.locate import State, Verdict
from sync.services.reading import told

register = template.Library()
# So long an address fits into a line everywhere.
SHORT = 24
register.filter("in_short", in_short)
# Of an instance that is shown to none but who sees it.
register.filter("in_full", in_full)
# The words of the tag `may`.
MAY = {
    "view": Right.VIEW,
    "operate": Right.OPERATE,
    "manage": Right.MANAGE_RULES,
    "administer": Right.ADMINISTER,
}
# Colour and icon beside the word, for words that are no status of a task.
LOOKS: dict[str, tuple[str, str]] = {
    State.THERE: ("succeeded", "succeeded"),
    State.ABSENT: ("stopped", "removed"),
    State.UNKNOWN: ("partial", "warning"),
    Verdict.NOT_YET: ("partial", "waiting"),
    Verdict.HELD_BACK: ("partial", "conflict"),
    Verdict.DELIVERED: ("succeeded", "succeeded"),
    Verdict.EXCLUDED: ("stopped", "stopped"),
    Verdict.NO_SOURCE: ("stopped", "unknown"),
    What.MISSING: ("partial", "removed"),
    What.OVERWRITE: ("partial", "superseded"),
    What.CONFLICT: ("partial", "conflict"),
    What.EXTRA: ("stopped", "plus"),
    What.UNKNOWN: ("failed", "warning"),
}


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """A symbol of static/icons.svg; the word beside it says the same."""
    use = f"{static('icons.svg')}#{name}"
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}"></use></svg>', extra, use
    )


@register.filter(name="told")
def told_(text: object, rule: SyncRule | None = None) -> str:
    """What a registry or the network has said just now."""
    return told(str(text), rule) if text else ""


@register.filter
def ahead(moment: datetime) -> bool:
    return moment > timezone.now()


@register.simple_tag(takes_context=True)
def may(context: Any, role: str, instance: Instance | None) -> bool:
    """Whether the reader has a role on the instance: what they may not do is not offered."""
    return bool(context["layout"].may(MAY[role], instance))


@register.simple_tag(takes_context=True)
def missing_workers(context: Any, of: Instance | SyncRule | SyncTask | None = None) -> list[str]:
    """Why tasks of it will wait, as far as workers are missing; of nothing, those of all that the reader sees."""
    told: list[str] = context["layout"].missing_workers(of)
    return told


@register.filter
def named(instance: Instance) -> SafeString:
    """Name and region, which is not broken while it fits into a line."""
    return format_html('<span>{} <span class="whole">({})</span></span>', instance.name, instance.region)


@register.filter
def in_words(state: State | Verdict | What) -> SafeString:
    """Icon and word."""
    colour, symbol = LOOKS[state]
    return format_html('<span class="status status-{}">{} {}</span>', colour, icon(symbol), state)


@register.filter
def moment(when: datetime | None) -> SafeString | str:
    """A point in time: in UTC as sent, rewritten by app.js into the reader's zone."""
    return _time(when, "", "") if when else "—"


@register.filter
def ago(when: datetime | None) -> SafeString | str:
    """How long since, with the point in time as title."""
    return _time(when, _ago(timezone.now() - when), "ago") if when else "—"


def _time(when: datetime, words: str, kind: str) -> SafeString:
    """Where a line is too short for both, it is broken between day and clock, and nowhere else."""
    utc = when.astimezone(UTC)
    day, clock = f"{utc:%Y-%m-%d}", f"{utc:%H:%M:%S} UTC"
    machine = utc.isoformat(timespec="seconds")
    shown = words or format_html("<span>{}</span> <span>{}</span>", day, clock)
    return format_html('<time class="{}" datetime="{}" title="{} {}">{}</time>', kind, machine, day, clock, shown)


def _ago(passed: timedelta) -> str:
    minutes = int(passed.total_seconds()) // 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"


@register.filter
def duration(spent: timedelta | None) -> str:
    """`2.4 s`, `48 s`, `3 min 05 s`, `2 h 07 min`; a dash for what has not begun."""
    if spent is None:
        return "—"
    exact = max(0.0, spent.total_seconds())
    # What would be rounded up to ten seconds is told as ten.
    return f"{exact:.1f} s" if exact < 9.95 else _whole(int(exact + 0.05))


def _whole(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


@register.filter
def seconds(count: float) -> str:
    """A number of them as `duration` has it."""
    return duration(timedelta(seconds=count))


@register.filter
def spent(task: SyncTask) -> SafeString | str:
    """The time spent so far; while the task runs, app.js counts on from there, by whole seconds."""
    so_far = task.time_spent
    if so_far is None or not task.is_open:
        return duration(so_far)
    passed = max(0, int(so_far.total_seconds()))
    return format_html('<span data-seconds="{}">{}</span>', passed, _whole(passed))


@register.filter
def roughly(left: timedelta) -> str:
    """A duration as nobody knows it more exactly: `40 s`, `6 min`, `3 h`."""
    seconds = left.total_seconds()
    if seconds < 60:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{round(seconds / 3600)} h"


@register.filter
def success_rate(task: SyncTask) -> str:
    """`n of m · p %`. 100 % only when everything is known, and the target holds all of it."""
    if not task.planned:
        return "nothing to do" if task.status == Status.SUCCEEDED else "—"
    percent = task.success_percent or 0
    if _knows_all(task):
        return f"{task.succeeded} of {task.planned}\u00a0· {percent}\u00a0%"
    return f"{task.succeeded} of at least {task.planned}\u00a0· {min(percent, 99)}\u00a0%"


def _knows_all(task: SyncTask) -> bool:
    """False while resources may be missing from the plan, as those of a repository whose tags could not be listed."""
    failed = task.status in (Status.FAILED, Status.PARTIAL, Status.STOPPED)
    return task.all_planned and not (failed and task.succeeded == task.planned)


@register.filter
def left(task: SyncTask) -> int:
    """Planned resources without an outcome yet."""
    return max(0, task.planned - task.done)


@register.filter
def has_resources(repository: TaskRepository) -> bool:
    """Whether there is a row for any: what was equal already is only counted, what is under way is told."""
    return repository.done > repository.unchanged or (repository.listed and repository.status in OPEN)


@register.filter
def types(rule: SyncRule | dict[str, Any]) -> str:
    """The types that travel, of a rule or of a task's snapshot of one."""
    kept = rule if isinstance(rule, dict) else rule.snapshot()
    words = {"images": "images", "charts": "charts", "others": "other artifacts"}
    return ", ".join(word for field, word in words.items() if kept[field]).capitalize()


@register.filter
def breakable(address: str) -> SafeString:
    """A long address or path, to be broken behind what parts it and not within a word."""
    if len(address) <= SHORT:
        return format_html("{}", address)
    pieces = re.split(r"(?<=[/@?=&])(?=[^/])|(?<=[a-z]\.)(?=[a-z])|(?=:\d)", address)
    return format_html_join(mark_safe("<wbr>"), "{}", ((piece,) for piece in pieces))


@register.filter
def misfit(rule: SyncRule) -> str:
    """Why the kinds of its sides cannot hold what it chooses: of rules from before a kind was corrected, say."""
    return type_fault(rule)


@register.filter
def namespace(name: str) -> str:
    return "top level" if name == NAMESPACE_TOP else name
