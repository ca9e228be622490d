"""The log of a task: in its page and on one of its own, growing while the task runs; and as a text."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sync import access
from sync.models import LogLine, SyncTask
from sync.views.http import Request, number, page_or_fragment, poll_seconds, wants_fragment
from sync.views.layout import enter_instance

PAGE_LINES = 500
PROBLEMS = "problems"
BY_REPOSITORY = "repository"
PROBLEM_LEVELS = (LogLine.Level.WARNING, LogLine.Level.ERROR)


@dataclass(frozen=True)
class Group:
    """Lines of one repository, or with a blank name those of the task itself."""

    repository: str
    lines: list[LogLine]

    @property
    def has_problems(self) -> bool:
        return any(line.level in PROBLEM_LEVELS for line in self.lines)


@dataclass(frozen=True)
class Log:
    """A stretch of a task's log, oldest line first: at most so many lines before `before`, or after `after`.

    level: PROBLEMS for warnings and errors, blank for all. group: BY_REPOSITORY, blank for lines by time. Whoever
    writes lines holds the row of their task until they can be read, so that nothing appears later before a line that a
    reader has.
    """

    task: SyncTask
    level: str
    most: int
    group: str = ""
    before: int | None = None
    after: int | None = None

    @classmethod
    def newest(cls, task: SyncTask, query: Mapping[str, str], most: int) -> "Log":
        return cls(task, _level(query), most, _group(query))

    @classmethod
    def asked_for(cls, task: SyncTask, query: Mapping[str, str]) -> "Log":
        """A page of lines: those around one, those `before` one, else the newest."""
        log = cls.newest(task, query, PAGE_LINES)
        around, before = number(query.get("line", "")), number(query.get("before", ""))
        return replace(log, before=before if around is None else log._end_around(around))

    def _end_around(self, line: int) -> int | None:
        """What ends a page that has the line in its midst; None where that page is the newest."""
        behind = self._of_level().filter(pk__gt=line).order_by("pk").values_list("pk", flat=True)
        following = list(behind[: self.most // 2])
        return following[-1] if len(following) == self.most // 2 else None

    def _of_level(self) -> QuerySet[LogLine]:
        lines = LogLine.objects.filter(task=self.task)
        return lines.filter(level__in=PROBLEM_LEVELS) if self.level else lines

    @cached_property
    def _fetched(self) -> list[LogLine]:
        """One more than is shown tells whether there are more."""
        lines = self._of_level()
        if self.after is not None:
            return list(lines.filter(pk__gt=self.after).order_by("pk")[: self.most + 1])
        if self.before is not None:
            lines = lines.filter(pk__lt=self.before)
        return list(lines.order_by("-pk")[: self.most + 1])

    @property
    def has_more(self) -> bool:
        return len(self._fetched) > self.most

    @cached_property
    def lines(self) -> list[LogLine]:
        shown = self._fetched[: self.most]
        return shown if self.after is not None else shown[::-1]

    @property
    def groups(self) -> list[Group]:
        """The task itself first, then repositories by name."""
        found: defaultdict[str, list[LogLine]] = defaultdict(list)
        for line in self.lines:
            found[line.repository].append(line)
        return [Group(name, found[name]) for name in sorted(found)]

    @property
    def last(self) -> int:
        """The number of the last line that the reader has."""
        return self.lines[-1].pk if self.lines else self.after or 0

    @property
    def seconds(self) -> int | None:
        """Until the next look for what comes after these lines; None when nothing will."""
        if self.after is not None and self.has_more:
            return 1
        return None if self.before is not None else poll_seconds(self.task)


@require_safe
@page_or_fragment
def task_log(request: Request, instance: str, task_id: int) -> HttpResponse:
    """A page of lines, see Log.asked_for; for htmx the lines `after` one, 204 if there are none.

    `every` is the interval at which the reader asks: when it is to change, there is an answer without lines.
    """
    source = enter_instance(request, instance)
    task = access.get_task_or_404(request.user, instance, task_id)
    after = number(request.GET.get("after", ""))
    if after is None or not wants_fragment(request):
        log = Log.asked_for(task, request.GET)
        return render(request, "tasks/log.html", {"instance": source, "task": task, "log": log})
    log = Log(task, _level(request.GET), PAGE_LINES, _group(request.GET), after=after)
    if not log.lines and request.GET.get("every") == str(log.seconds):
        return HttpResponse(status=204)
    return render(request, "tasks/_log_lines.html", {"instance": source, "task": task, "log": log})


@require_safe
def task_log_text(request: Request, instance: str, task_id: int) -> StreamingHttpResponse:
    """All lines, whatever the filter."""
    task = access.get_task_or_404(request.user, instance, task_id)
    lines = LogLine.objects.filter(task=task).order_by("pk")
    return StreamingHttpResponse(
        _as_text(lines),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="task-{task.pk}-log.txt"'},
    )


def _as_text(lines: QuerySet[LogLine]) -> Iterator[str]:
    """Whatever a message holds, it stays one line."""
    for line in lines.iterator(chunk_size=1000):
        where = f"{line.repository}: " if line.repository else ""
        message = " ".join(line.message.split())
        yield f"{line.at.isoformat(timespec='milliseconds')} {line.level.upper():7} {where}{message}\n"


def _group(query: Mapping[str, str]) -> str:
    return BY_REPOSITORY if query.get("group") == BY_REPOSITORY else ""


def _level(query: Mapping[str, str]) -> str:
    return PROBLEMS if query.get("level") == PROBLEMS else ""
