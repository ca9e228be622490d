"""Where is it? For users in the console, and for support staff in the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sync import access
from sync.models import Instance
from sync.services import locate
from sync.views.http import Request, page_or_fragment, wants_fragment

# Support staff may look at these in the admin already.
STAFF_MUST_SEE = ("sync.view_instance", "sync.view_syncrule", "sync.view_synctask")


@require_safe
@page_or_fragment
def where(request: Request) -> HttpResponse:
    found = _look(request, access.visible_instances(request.user))
    template = "where/_fragment.html" if wants_fragment(request) else "where/page.html"
    return render(request, template, found, status=422 if found["problem"] else 200)


@require_safe
@permission_required(STAFF_MUST_SEE, raise_exception=True)
def where_for_staff(request: HttpRequest) -> HttpResponse:
    """To be wrapped by the admin site, which lets in nobody but staff."""
    found = _look(request, Instance.objects.all())
    context = {**admin.site.each_context(request), "title": "Where is it?", **found}
    return render(request, "admin/where.html", context, status=422 if found["problem"] else 200)


def _look(request: HttpRequest, instances: QuerySet[Instance]) -> dict[str, Any]:
    """What was typed, and the answer or the problem with it."""
    typed = request.GET.get("ref", "").strip()
    answer, problem = None, ""
    try:
        answer = locate.find(typed, instances) if typed else None
    except locate.InvalidReference as error:
        problem = str(error)
    return {"typed": typed, "answer": answer, "problem": problem}
