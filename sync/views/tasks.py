"""Pages of tasks: progress, what became of each repository and resource, Stop, Retry failed."""

from functools import partial
from time import time

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from sync import access
from sync.access import Right
from sync.models import Status, SyncRule, SyncTask
from sync.services import failures, grants, progress, removals, trigger, waiting
from sync.templatetags.console import success_rate
from sync.views.filters import RepositoryFilter
from sync.views.http import (
    Request,
    acted,
    is_for,
    live_answer,
    live_page,
    number,
    page_or_fragment,
    poll_seconds,
    task_link,
    wants_fragment,
)
from sync.views.layout import enter_with
from sync.views.log import Log
from sync.views.repositories import repository_list

SECTION_LINES = 100
# So few need no filter.
FEW_REPOSITORIES = 10
# Progress is told to those who listen at each quarter, else at most so often.
ANNOUNCED_SECONDS = 30


@require_safe
@page_or_fragment
def task_page(request: Request, instance: str, task_id: int) -> HttpResponse:
    task = access.get_task_or_404(request.user, instance, task_id)
    source = enter_with(request, task)
    narrowed = RepositoryFilter(request.GET)
    if is_for(request, "repositories", "repository-list"):
        return live_answer(request, repository_list(request, task, narrowed))
    task.wait = waiting.of_task(task)
    estimate = progress.estimate(task)
    spoken, said = _announcement(request, task)
    few = not task.is_open and (task.repository_count or 0) <= FEW_REPOSITORIES
    return live_page(
        request,
        "tasks/task.html",
        {
            "instance": source,
            "task": task,
            "question": removals.question(task),
            "hours": round(settings.OUTAGE_HOURS),
            "can_retry": _can_retry(task),
            "side": failures.side_of(task),
            "causes": failures.causes_of(task),
            "speed": progress.bytes_per_second(task),
            "estimate": estimate,
            "filter": narrowed,
            "may_filter": not few or narrowed.chosen,
            "repositories": partial(repository_list, request, task, narrowed),
            "log": Log.newest(task, request.GET, SECTION_LINES),
        },
        part="tasks/_summary.html",
        live_id="progress",
        seconds=poll_seconds(task),
        spoken=spoken,
        said=said,
    )


def _announcement(request: Request, task: SyncTask) -> tuple[str, str]:
    """What a poll announces, blank when nothing is due; and what the next one is to tell: of what was spoken, when."""
    tried = "tried" if task.failed else "done"
    done = f"{task.done} of {'' if task.all_planned else 'at least '}{task.planned} resources {tried}"
    quarter = str(task.done * 4 // task.planned) if task.planned and task.all_planned else "0"
    step, words = quarter, f"Task {task.pk}: {done}"
    if not task.is_open:
        step, words = task.status, f"Task {task.pk}: {task.get_status_display()}, {success_rate(task)}"
    elif task.wait is not None:
        step, words = "waits", f"Task {task.pk} waits for {task.wait.instance or task.wait.what}"
    spoken, _, at = request.GET.get("said", "").partition("-")
    if not spoken or (spoken == step and (step == "waits" or time() - (number(at) or 0) < ANNOUNCED_SECONDS)):
        return "", request.GET.get("said", "") or f"{step}-{int(time())}"
    return words, f"{step}-{int(time())}"


def _can_retry(task: SyncTask) -> bool:
    """Some of it failed, or all of it because the source could not be listed."""
    ended_badly = task.failed or (task.status == Status.FAILED and task.repository_count is None)
    return not task.is_open and task.rule is not None and bool(ended_badly)


def task_stop(request: Request, instance: str, task_id: int) -> HttpResponse:
    """GET asks, POST stops."""
    task = access.get_task_or_404(request.user, instance, task_id, Right.OPERATE)
    if request.method == "POST":
        stopping = trigger.stop_task(task, actor=request.user.get_username())
        message = f"Task {task.pk} was asked to stop." if stopping else f"Task {task.pk} has ended already."
        return acted(request, reverse("task", args=[instance, task.pk]), message)
    template = "tasks/_stop.html" if wants_fragment(request) else "tasks/stop.html"
    return render(request, template, {"instance": task.source, "task": task})


@require_POST
def task_removals(request: Request, instance: str, task_id: int) -> HttpResponse:
    """The answer to a task that asks whether to delete in the target."""
    task = access.get_task_or_404(request.user, instance, task_id, Right.MANAGE_RULES)
    answer, _, mark = request.POST.get("answer", "").partition(" ")
    url, actor = reverse("task", args=[instance, task.pk]), request.user.get_username()
    if answer not in ("delete", "keep"):
        return acted(request, url, "Say whether to delete or to keep: nothing was done.", refused=True)
    if not trigger.answer_removals(task, delete=answer == "delete", actor=actor, mark=mark):
        said = f"Task {task.pk} asks nothing any more, or about something else by now: look again."
        return acted(request, url, said, refused=True)
    return acted(request, url, "You said: delete them." if answer == "delete" else "You said: keep them.")


@require_POST
def task_retry(request: Request, instance: str, task_id: int) -> HttpResponse:
    """Starts a task over what failed in this one; shows the one that does so already."""
    task = access.get_task_or_404(request.user, instance, task_id, Right.OPERATE)
    try:
        opened = trigger.retry_failed(task, actor=request.user.get_username())
    except (trigger.NothingToRetry, grants.Suspended, SyncRule.DoesNotExist) as refusal:
        deleted = isinstance(refusal, SyncRule.DoesNotExist)
        said = "The rule of this task was deleted." if deleted else str(refusal)
        return acted(request, reverse("task", args=[instance, task.pk]), said, refused=True)
    said = "was started" if opened.created else "was open already"
    message = format_html("{} {} for what failed in task {}.", task_link(opened.task, instance), said, task.pk)
    return acted(request, reverse("task", args=[instance, opened.task.pk]), message)
