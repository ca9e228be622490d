"""Theme and keyboard shortcuts: a page, or the content of the dialog."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from sync.access import is_platform_administrator
from sync.models import Preference
from sync.services import grants
from sync.services.preferences import choose
from sync.views.http import Request, page_or_fragment, wants_fragment

SHORTCUTS = (
    ("/", "Where is an image or chart?"),
    ("i", "Instances"),
    ("c", "Create a rule, on the list of rules"),
    ("j", "Next row; in a log, next line"),
    ("k", "Previous row; in a log, previous line"),
    ("?", "This list"),
)


@require_http_methods(["GET", "HEAD", "POST"])
@page_or_fragment
def preferences(request: Request) -> HttpResponse:
    """POST stores one choice; the page takes it on at once."""
    context: dict[str, Any] = {"themes": Preference.Theme.choices, "keys": SHORTCUTS}
    context["everything"] = is_platform_administrator(request.user)
    context["roles"] = grants.roles_of(request.user)
    if request.method != "POST":
        template = "preferences/_dialog.html" if wants_fragment(request) else "preferences/page.html"
        return render(request, template, context)
    chosen = choose(request.user, request.session, request.POST)
    if not wants_fragment(request):
        return redirect("preferences")
    return trigger_client_event(render(request, "preferences/_panel.html", context), "preferences", chosen)
