"""Where is it? For users in the console, and for support staff in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sync import access
from sync.models import Instance
from sync.services import locate
from sync.views.http import Request, page_or_fragment, wants_fragment


@require_safe
@page_or_fragment
def where(request: Request) -> HttpResponse:
    """The page comes at once and has the answer loaded; who has no script says `now`, and waits for it."""
    waits = wants_fragment(request) or "now" in request.GET
    found = _look(request, access.visible_instances(request.user), ask=waits)
    template = "where/_fragment.html" if wants_fragment(request) else "where/page.html"
    return render(request, template, found, status=422 if found["problem"] else 200)


@require_safe
def where_for_staff(request: HttpRequest) -> HttpResponse:
    """To be wrapped by the admin site, which lets in nobody but staff."""
    found = _look(request, access.visible_instances(request.user), ask=True)
    context = {**admin.site.each_context(request), "title": "Where is it?", **found}
    return render(request, "admin/where.html", context, status=422 if found["problem"] else 200)


def _look(request: HttpRequest, instances: QuerySet[Instance], *, ask: bool) -> dict[str, Any]:
    """What was typed, and the answer or the problem with it; what is `wanted`, as long as nobody was asked.

    partial: others may have it, or bring it, for all that the reader may be told: also when there are none, or it would
    tell that there are.
    """
    typed = request.GET.get("ref", "").strip()
    partial = not access.is_platform_administrator(request.user)
    found: dict[str, Any] = {"typed": typed, "problem": "", "partial": partial}
    try:
        if typed and ask:
            found["answer"] = locate.find(typed, instances)
        elif typed:
            found["wanted"] = locate.wanted_by(typed, instances)
    except locate.InvalidReference as error:
        found["problem"] = str(error)
    return found
