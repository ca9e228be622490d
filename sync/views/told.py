"""Who is told when a task of a rule ends: the newest deliveries, and the buttons beside them."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from sync import access
from sync.models import Announcement, SyncRule
from sync.services import announce
from sync.views.http import Request, acted

SHOWN = 20


def context(rule: SyncRule) -> dict[str, Any]:
    """told_waits: something may change by itself."""
    deliveries = list(rule.announcements.all()[:SHOWN]) if rule.webhook_url else []
    waits = any(one.status == Announcement.Status.WAITING for one in deliveries)
    return {"deliveries": deliveries, "told_waits": waits}


def part(request: Request, rule: SyncRule) -> HttpResponse:
    return render(request, "rules/_told.html", {"instance": rule.source, "rule": rule, **context(rule)})


@require_POST
def tell_again(request: Request, instance: str, name: str, announcement_id: int) -> HttpResponse:
    rule = access.get_rule_or_404(request.user, instance, name)
    announcement = get_object_or_404(rule.announcements, pk=announcement_id)
    if announce.send_again(announcement):
        words = f"What task {announcement.task_id} came to is sent again."
        return acted(request, _page(rule), words)
    return acted(request, _page(rule), "It is being sent, or will be in a moment.", refused=True)


@require_POST
def tell_test(request: Request, instance: str, name: str) -> HttpResponse:
    rule = access.get_rule_or_404(request.user, instance, name)
    if not rule.webhook_url:
        return acted(request, _page(rule), "The rule has no webhook: give it one in its configuration.", refused=True)
    outcome = announce.send_test(rule)
    if outcome.delivered:
        return acted(request, _page(rule), f"The test was taken: {rule.webhook_place} answered {outcome.http_status}.")
    return acted(request, _page(rule), f"The test was not taken. {outcome.reason}", refused=True)


def _page(rule: SyncRule) -> str:
    return reverse("rule", args=[rule.source.name, rule.name])
