"""Repositories of a task: the list on its page, and what became of the resources of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, QuerySet, Value, When
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from sync import access
from sync.models import OPEN, Status, SyncTask, TaskRepository, TaskResource
from sync.services import failures, progress, waiting
from sync.views.filters import RepositoryFilter
from sync.views.http import Live, Request, live_page, live_part, number, page_or_fragment, poll_seconds
from sync.views.layout import enter_with
from sync.views.paging import count_up_to, page_of, text_key, told

# So many failed repositories are opened for who comes to a task that failed: each asks for its resources.
OPENED = 5
URGENCY = {
    TaskResource.Outcome.FAILED: 0,
    TaskResource.Outcome.CONFLICT: 1,
    TaskResource.Outcome.SUPERSEDED: 2,
    TaskResource.Outcome.REMOVED: 3,
    TaskResource.Outcome.COPIED: 4,
}


@dataclass(frozen=True)
class Row:
    """One repository as it is shown; `mark` changes with it."""

    repository: TaskRepository
    html: str

    @property
    def mark(self) -> str:
        return hashlib.sha256(self.html.encode()).hexdigest()[:8]


def repository_list(request: Request, task: SyncTask, narrowed: RepositoryFilter) -> Live:
    """The second live part of the page: the filter between the two keeps what is typed.

    A poll tells the marks of the rows that the reader has: those stand in the answer by their name alone.
    """
    rows = narrowed.of(_failed_first(task))
    page = page_of(request, rows, urgency=number, name=text_key)
    count = told(count_up_to(rows, page), "repository", "repositories")
    shown = _rows(task, page.rows)
    context = {"instance": task.source, "task": task, "page": page, "filter": narrowed, "count": count, "rows": shown}
    had = set(request.GET.get("rows", "").split("."))
    return live_part(
        request,
        "tasks/_repositories.html",
        context,
        "repositories",
        poll_seconds(task),
        count,
        brief={**context, "had": had} if had & {row.mark for row in shown} else None,
        swap="rows",
        known={"rows": ".".join(row.mark for row in shown)},
    )


def _rows(task: SyncTask, repositories: Sequence[TaskRepository]) -> list[Row]:
    failed = [] if task.is_open else [one for one in repositories if one.failed or one.status == Status.FAILED]
    totals, rows = progress.bytes_of(task, repositories), []
    for one in repositories:
        context = {"instance": task.source, "task": task, "repository": one, "total_bytes": totals.get(one.pk)}
        context |= {"opened": one in failed[:OPENED]}
        rows.append(Row(one, render_to_string("tasks/_repository.html", context)))
    return rows


def _failed_first(task: SyncTask) -> QuerySet[TaskRepository]:
    """Repositories with failures, those that wait after one, those at work, the rest, and those with nothing to do;
    each by name when ordered by `urgency`, then name."""
    urgency = Case(
        When(status=Status.FAILED, then=Value(0)),
        When(failed__gt=0, then=Value(0)),
        When(next_try_at__isnull=False, then=Value(1)),
        When(status=Status.SYNCHRONIZING, then=Value(2)),
        When(status=Status.SUCCEEDED, planned=0, then=Value(4)),
        default=Value(3),
    )
    return TaskRepository.objects.filter(task=task).annotate(urgency=urgency)


@require_safe
@page_or_fragment
def repository_page(request: Request, instance: str, task_id: int, repository_id: int) -> HttpResponse:
    """The resources of one repository of the task: opened in place on the task page, or a page of its own."""
    task = access.get_task_or_404(request.user, instance, task_id)
    source = enter_with(request, task)
    repository = get_object_or_404(TaskRepository, task=task, pk=repository_id)
    urgency = Case(*(When(outcome=outcome, then=Value(place)) for outcome, place in URGENCY.items()))
    resources = TaskResource.objects.filter(repository=repository).annotate(urgency=urgency)
    page = page_of(request, resources, urgency=number, tag=text_key)
    failed = [one for one in page.rows if one.outcome == TaskResource.Outcome.FAILED]
    is_open = repository.status in OPEN
    return live_page(
        request,
        "tasks/repository.html",
        {
            "instance": source,
            "task": task,
            "repository": repository,
            "page": page,
            "causes": failures.by_cause(failed),
            "others": [one for one in page.rows if one not in failed],
            "moving": progress.under_way(task, repository.pk) if is_open and not page.back else [],
            "put_off": waiting.put_off(repository) if is_open and not page.back else None,
        },
        part="tasks/_resources.html",
        live_id=f"resources-{repository.pk}",
        seconds=poll_seconds(task) if is_open else None,
    )
