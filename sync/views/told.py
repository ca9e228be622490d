"""Who is told when a task of a rule ends: the newest deliveries, and the buttons beside them."""

from collections.abc import Iterable

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from sync import access
from sync.models import Announcement, SyncRule
from sync.services import announce
from sync.views.http import IDLE_SECONDS, Request, acted

SHOWN = 20
WAITING_SECONDS = 5


def newest(rule: SyncRule) -> list[Announcement]:
    """The newest deliveries; none of a rule that tells nobody."""
    return list(rule.announcements.all()[:SHOWN]) if rule.webhook_url else []


def waits(deliveries: Iterable[Announcement]) -> bool:
    return any(one.status == Announcement.Status.WAITING for one in deliveries)


def poll_seconds(deliveries: Iterable[Announcement]) -> int:
    """Until the next look at them."""
    return WAITING_SECONDS if waits(deliveries) else IDLE_SECONDS


@require_POST
def tell_again(request: Request, instance: str, name: str, announcement_id: int) -> HttpResponse:
    rule = access.get_rule_or_404(request.user, instance, name, access.Right.MANAGE_RULES)
    announcement = get_object_or_404(rule.announcements, pk=announcement_id)
    if announce.send_again(announcement):
        words = f"What task {announcement.task_id} came to is sent again."
        return acted(request, _page(rule), words)
    return acted(request, _page(rule), "It is being sent, or will be in a moment.", refused=True)


@require_POST
def tell_test(request: Request, instance: str, name: str) -> HttpResponse:
    rule = access.get_rule_or_404(request.user, instance, name, access.Right.MANAGE_RULES)
    if not rule.webhook_url:
        return acted(request, _page(rule), "The rule has no webhook: give it one in its configuration.", refused=True)
    outcome = announce.send_test(rule)
    if outcome.delivered:
        return acted(request, _page(rule), f"The test was taken: {rule.webhook_place} answered {outcome.http_status}.")
    return acted(request, _page(rule), f"The test was not taken. {outcome.reason}", refused=True)


def _page(rule: SyncRule) -> str:
    return reverse("rule", args=[rule.source.name, rule.name])
