"""What the views share: page or fragment, live parts, forms, and what follows a POST."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

from sync.models import Status, SyncTask

IDLE_SECONDS = 15
Saved = TypeVar("Saved")

# On every view that answers one URL with a page or with a fragment.
page_or_fragment = vary_on_headers("HX-Request", "HX-Target")


class Request(HttpRequest):
    """A request as the middleware hands it to the views: signed in, and told apart by htmx."""

    user: User
    htmx: HtmxDetails


def wants_fragment(request: Request) -> bool:
    return bool(request.htmx) and not (request.htmx.boosted or request.htmx.history_restore_request)


def is_for(request: Request, *ids: str) -> bool:
    """Whether htmx asks for the part that goes into one of these elements."""
    return wants_fragment(request) and request.htmx.target in ids


def number(text: str) -> int | None:
    """A number in a URL, as far as databases hold it; None of anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def poll_seconds(task: SyncTask) -> int | None:
    """Until the next look at a task: the longer it runs, the rarer; often while it stops. None once it ended."""
    if not task.is_open:
        return None
    if task.stop_requested:
        return 1
    if task.status == Status.WAITING or task.started_at is None:
        return 5
    minutes = (timezone.now() - task.started_at).total_seconds() / 60
    return 2 if minutes < 1 else 5 if minutes < 10 else IDLE_SECONDS


def poll_seconds_of_list(tasks: Iterable[SyncTask]) -> int:
    """A list goes on looking when all its tasks have ended: new ones may come."""
    return min((seconds for task in tasks if (seconds := poll_seconds(task))), default=IDLE_SECONDS)


@dataclass(frozen=True)
class Live:
    """A part of a page that asks for itself again. `url` tells the server what the reader has already.

    seconds: until then, None when nothing changes any more. announce: told to who filters or turns pages; spoken: told
    by polls. brief: the body without what the reader has, if it is not all. swap: how htmx puts it in.
    failing: how many rules of the instance are, beside them in the navigation.
    """

    id: str
    body: str
    url: str
    seconds: int | None
    mark: str
    announce: str
    failing: str
    spoken: str = ""
    brief: str = ""
    swap: str = "outerHTML"


def live_page(
    request: Request,
    page: str,
    context: dict[str, Any],
    *,
    part: str,
    live_id: str,
    seconds: int | None,
    announce: str = "",
    spoken: str = "",
    **known: str,
) -> HttpResponse:
    """The page, or for htmx its live part alone; 204 when the reader has just that already.

    part: template of the live part. known: what polls tell the server again of what the reader has.
    """
    live = live_part(request, part, context, live_id, seconds, announce, spoken, known=known)
    return live_answer(request, live) if wants_fragment(request) else render(request, page, {**context, "live": live})


def live_part(
    request: Request,
    part: str,
    context: dict[str, Any],
    live_id: str,
    seconds: int | None,
    announce: str = "",
    spoken: str = "",
    *,
    brief: dict[str, Any] | None = None,
    swap: str = "outerHTML",
    known: Mapping[str, str] | None = None,
) -> Live:
    """brief: the context in which the template leaves out what the reader has; None when that is nothing."""
    body = render_to_string(part, context, request)
    failing = render_to_string("parts/_failing.html", {}, request)
    # A pulse that the reader has not is a change, too: else each poll would come with an old one.
    pulse = (known or {}).get("pulse", "")
    mark = hashlib.sha256(f"{seconds} {failing} {pulse} {body}".encode()).hexdigest()[:16]
    query = request.GET.copy()
    for name, value in {**(known or {}), "seen": mark}.items():
        query[name] = value
    url = f"{request.path}?{query.urlencode()}"
    short = render_to_string(part, brief, request) if brief else ""
    return Live(live_id, body, url, seconds, mark, announce, failing, spoken, short, swap)


def live_answer(request: Request, live: Live) -> HttpResponse:
    """The part for htmx; nothing for a poll that knows it already."""
    seen = request.GET.get("seen")
    if seen == live.mark:
        return HttpResponse(status=204)
    told = {"announce": live.spoken if seen else live.announce, "body": live.brief if seen else "", "polled": True}
    return render(request, "parts/_live.html", {"live": live, **told})


def form_page(request: Request, page: str, part: str, form: BaseForm, context: dict[str, Any]) -> HttpResponse:
    """The page of a form; a refused form as 422, for htmx without the page around it."""
    template = part if wants_fragment(request) else page
    return render(request, template, {**context, "form": form}, status=422 if form.errors else 200)


def save_valid(form: BaseForm, save: Callable[[], Saved]) -> Saved | None:
    """What `save` returns; None when the form is refused, also for what somebody else saved at the same moment."""
    if not form.is_valid():
        return None
    try:
        return save()
    except IntegrityError:
        form.full_clean()
        if form.is_valid():
            raise
        return None


def saved(request: Request, url: str, message: str) -> HttpResponse:
    """What follows a form that was accepted: another page."""
    messages.success(request, message)
    return HttpResponseClientRedirect(url) if request.htmx else HttpResponseRedirect(url)


def task_link(task: SyncTask, instance: str) -> SafeString:
    return format_html('<a href="{}">Task {}</a>', reverse("task", args=[instance, task.pk]), task.pk)


def acted(request: Request, url: str, message: str, *, refused: bool = False) -> HttpResponse:
    """What follows a button: for htmx a message, and the live part of the page looks again; else another page."""
    messages.add_message(request, messages.ERROR if refused else messages.SUCCESS, message)
    if not wants_fragment(request):
        return HttpResponseRedirect(url)
    return trigger_client_event(render(request, "parts/_toasts.html"), "refresh")
