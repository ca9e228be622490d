"""Figures for Prometheus."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from sync import access
from sync.services import metrics as figures
from sync.views.http import Request


@login_not_required
@require_safe
def metrics(request: Request) -> HttpResponse:
    if not (_has_token(request) or access.is_platform_administrator(request.user)):
        said = "Show METRICS_TOKEN as a bearer token, or sign in as a platform administrator.\n"
        refused = HttpResponse(said, status=401, content_type="text/plain")
        refused["WWW-Authenticate"] = "Bearer"
        return refused
    return HttpResponse(figures.exposition(), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: Request) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    return bool(expected) and kind.lower() == "bearer" and constant_time_compare(token, expected)
