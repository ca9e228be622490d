"""The secret with which an instance sends its notifications: made, replaced, removed; shown once."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from sync import access
from sync.models import Instance
from sync.services import receive
from sync.views.http import Request, page_or_fragment, saved, wants_fragment
from sync.views.instances import show


def _instance(request: Request, name: str) -> Instance:
    return access.get_instance_or_404(request.user, name, access.Right.ADMINISTER)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@page_or_fragment
def hook_secret(request: Request, instance: str) -> HttpResponse:
    """GET asks, POST makes the secret and answers with the page that has it.

    Sent again, by a reload or by a second click, nothing is made: what the form had seen is not there any more.
    """
    found = _instance(request, instance)
    if request.method != "POST":
        has_one = bool(found.hook_secret_hash)
        verb, joint = ("Replace the secret", "of") if has_one else ("Make a secret", "for")
        return _ask(request, found, verb, f"{verb} {joint} {found}?")
    secret = receive.make_secret(found, request.POST.get("seen", ""))
    found.refresh_from_db()
    if secret is None:
        messages.error(request, "Nothing was done: the secret was made or replaced meanwhile.")
    return show(request, found, secret or "")


@require_http_methods(["GET", "HEAD", "POST"])
@page_or_fragment
def hook_secret_remove(request: Request, instance: str) -> HttpResponse:
    """GET asks, POST removes."""
    found = _instance(request, instance)
    if request.method != "POST":
        return _ask(request, found, "Remove the secret", f"Remove the secret of {found}?", removing=True)
    receive.remove_secret(found)
    return saved(request, reverse("instance", args=[found.name]), f"Nothing is taken from {found} any more.")


def _ask(request: Request, instance: Instance, verb: str, title: str, *, removing: bool = False) -> HttpResponse:
    template = "instances/_secret.html" if wants_fragment(request) else "instances/secret.html"
    context = {"instance": instance, "verb": verb, "title": title, "removing": removing}
    return render(request, template, {**context, "seen": receive.state_of(instance)})
