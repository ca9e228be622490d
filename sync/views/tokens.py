"""Tokens for pipelines of an instance: made by who operates it, each shown once; revoked by their makers and admins."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from sync import access
from sync.access import Right
from sync.forms.tokens import TokenForm
from sync.models import ApiToken, Instance
from sync.services import tokens
from sync.views.http import Request, save_valid, saved


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def instance_tokens(request: Request, instance: str) -> HttpResponse:
    """GET lists them, POST makes one and answers with the page that shows it.

    Sent again, nothing is made: the name is taken.
    """
    found = access.get_instance_or_404(request.user, instance, Right.OPERATE)
    if request.method != "POST":
        return _show(request, found, TokenForm(None, found, request.user))
    form = TokenForm(request.POST, found, request.user)
    secret = save_valid(form, lambda: tokens.make(form.instance))
    if secret is None:
        return _show(request, found, form, status=422)
    return _show(request, found, TokenForm(None, found, request.user), made=form.instance, secret=secret)


def _show(request: Request, instance: Instance, form: TokenForm, *, status: int = 200, **made: object) -> HttpResponse:
    administers = _administers(request, instance)
    listed = tokens.listed(instance, None if administers else request.user)
    context = {
        "instance": instance,
        "form": form,
        "tokens": listed[: tokens.SHOWN],
        "more": len(listed) > tokens.SHOWN,
        "administers": administers,
        "api": request.build_absolute_uri(reverse("api-sync")),
        **made,
    }
    return render(request, "access/tokens.html", context, status=status)


@require_POST
def instance_token_revoke(request: Request, instance: str, token_id: int) -> HttpResponse:
    found = access.get_instance_or_404(request.user, instance, Right.OPERATE)
    token = get_object_or_404(ApiToken, pk=token_id, instance=found)
    if token.maker_id != request.user.pk and not _administers(request, found):
        raise Http404
    done = f"{token} is revoked." if tokens.revoke(token) else f"{token} was revoked already."
    return saved(request, reverse("instance-tokens", args=[found.name]), done)


def _administers(request: Request, instance: Instance) -> bool:
    return Right.ADMINISTER in access.rights_on(request.user, instance)
