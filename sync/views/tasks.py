"""Pages of tasks: progress, what became of each repository and resource, Stop, Retry failed."""

from functools import partial

from django.conf import settings
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from sync import access
from sync.models import OPEN, Status, SyncRule, SyncTask, TaskRepository, TaskResource
from sync.services import progress, removals, trigger, waiting
from sync.views.filters import RepositoryFilter
from sync.views.http import (
    Live,
    Request,
    acted,
    is_for,
    live_answer,
    live_page,
    live_part,
    number,
    page_or_fragment,
    poll_seconds,
    task_link,
    wants_fragment,
)
from sync.views.layout import enter_instance
from sync.views.log import Log
from sync.views.paging import count_up_to, page_of, text_key, told

SECTION_LINES = 100
# So few need no filter.
FEW_REPOSITORIES = 10
URGENCY = {
    TaskResource.Outcome.FAILED: 0,
    TaskResource.Outcome.CONFLICT: 1,
    TaskResource.Outcome.SUPERSEDED: 2,
    TaskResource.Outcome.REMOVED: 3,
    TaskResource.Outcome.COPIED: 4,
}


@require_safe
@page_or_fragment
def task_page(request: Request, instance: str, task_id: int) -> HttpResponse:
    source = enter_instance(request, instance)
    task = access.get_task_or_404(request.user, instance, task_id)
    narrowed = RepositoryFilter(request.GET)
    if is_for(request, "repositories", "repository-list"):
        return live_answer(request, _repositories(request, task, narrowed))
    few = not task.is_open and (task.repository_count or 0) <= FEW_REPOSITORIES
    return live_page(
        request,
        "tasks/task.html",
        {
            "instance": source,
            "task": task,
            "wait": waiting.of_task(task),
            "question": removals.question(task),
            "hours": round(settings.OUTAGE_HOURS),
            "can_retry": _can_retry(task),
            "speed": progress.bytes_per_second(task),
            "time_left": progress.time_left(task),
            "filter": narrowed,
            "may_filter": not few or narrowed.chosen,
            "repositories": partial(_repositories, request, task, narrowed),
            "log": Log.newest(task, request.GET, SECTION_LINES),
        },
        part="tasks/_summary.html",
        live_id="progress",
        seconds=poll_seconds(task),
    )


def _repositories(request: Request, task: SyncTask, narrowed: RepositoryFilter) -> Live:
    """The second live part of the page: the filter between the two keeps what is typed."""
    rows = narrowed.of(_failed_first(task))
    page = page_of(request, rows, urgency=number, name=text_key)
    count = told(count_up_to(rows, page), "repository", "repositories")
    context = {"instance": task.source, "task": task, "page": page, "filter": narrowed, "count": count}
    return live_part(request, "tasks/_repositories.html", context, "repositories", poll_seconds(task), count)


def _can_retry(task: SyncTask) -> bool:
    """Some of it failed, or all of it because the source could not be listed."""
    ended_badly = task.failed or (task.status == Status.FAILED and task.repository_count is None)
    return not task.is_open and task.rule is not None and bool(ended_badly)


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
    source = enter_instance(request, instance)
    task = access.get_task_or_404(request.user, instance, task_id)
    repository = get_object_or_404(TaskRepository, task=task, pk=repository_id)
    urgency = Case(*(When(outcome=outcome, then=Value(place)) for outcome, place in URGENCY.items()))
    resources = TaskResource.objects.filter(repository=repository).annotate(urgency=urgency)
    page = page_of(request, resources, urgency=number, tag=text_key)
    return live_page(
        request,
        "tasks/repository.html",
        {"instance": source, "task": task, "repository": repository, "page": page},
        part="tasks/_resources.html",
        live_id=f"resources-{repository.pk}",
        seconds=poll_seconds(task) if repository.status in OPEN else None,
    )


def task_stop(request: Request, instance: str, task_id: int) -> HttpResponse:
    """GET asks, POST stops."""
    task = access.get_task_or_404(request.user, instance, task_id)
    if request.method == "POST":
        stopping = trigger.stop_task(task)
        message = f"Task {task.pk} is stopping." if stopping else f"Task {task.pk} has ended already."
        return acted(request, reverse("task", args=[instance, task.pk]), message)
    template = "tasks/_stop.html" if wants_fragment(request) else "tasks/stop.html"
    return render(request, template, {"instance": task.source, "task": task})


@require_POST
def task_removals(request: Request, instance: str, task_id: int) -> HttpResponse:
    """The answer to a task that asks whether to delete in the target."""
    task, answer = access.get_task_or_404(request.user, instance, task_id), request.POST.get("answer")
    url, actor = reverse("task", args=[instance, task.pk]), request.user.get_username()
    if answer not in ("delete", "keep"):
        return acted(request, url, "Say whether to delete or to keep: nothing was done.", refused=True)
    if not trigger.answer_removals(task, delete=answer == "delete", actor=actor):
        return acted(request, url, f"Task {task.pk} asks nothing any more.", refused=True)
    return acted(request, url, "They are being deleted." if answer == "delete" else "They are kept.")


@require_POST
def task_retry(request: Request, instance: str, task_id: int) -> HttpResponse:
    """Starts a task over what failed in this one; shows the one that does so already."""
    task = access.get_task_or_404(request.user, instance, task_id)
    try:
        opened = trigger.retry_failed(task, actor=request.user.get_username())
    except (trigger.NothingToRetry, SyncRule.DoesNotExist) as refusal:
        said = str(refusal) if isinstance(refusal, trigger.NothingToRetry) else "The rule of this task was deleted."
        return acted(request, reverse("task", args=[instance, task.pk]), said, refused=True)
    words = "{} retries what failed in task {}." if opened.created else "{} is already at what failed in task {}."
    message = format_html(words, task_link(opened.task, instance), task.pk)
    return acted(request, reverse("task", args=[instance, opened.task.pk]), message)
