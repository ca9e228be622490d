"""The life of an announcement: written with the end of its task, tried, put off, delivered or given up.

State moves by conditional update, so that two workers never make the same attempt. A receiver that is away is asked by
one announcement of its rule at a time; the others wait for what becomes of it.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Max, Min, Q, QuerySet
from django.utils import timezone

from sync import queue
from sync.credentials import CredentialKeyMissing
from sync.models import Announcement, Status, SyncRule, SyncTask
from sync.services.announce import telling
from sync.services.announce.sending import Outcome, send

# Seconds from one attempt to the next; after the last of them it has failed.
BACK_OFF = (10, 60, 300, 1800, 7200)
# An attempt of which nothing was heard for so long was made by a worker that is no more.
ATTEMPT_SECONDS = 120
# Behind a receiver that is away, nothing waits for longer.
LONGEST_WAIT = timedelta(days=1)
ASKED_AT_ONCE = 100

GONE = "The worker that sent it was lost each time. Send it again."
NO_WEBHOOK = "The rule has no webhook any more."
WAITED = "The receiver has been away for a day. Mend it, then send it again. Last: {}"

# What a receiver answers, or does not, that is not to be asked for each announcement anew.
AWAY = (0, 429, 502, 503, 504)


def _waiting() -> QuerySet[Announcement]:
    return Announcement.objects.filter(status=Announcement.Status.WAITING)


def task_ended(task: SyncTask) -> None:
    """Part of the transaction that ends it: what is to be told is neither lost nor told of an end that is none."""
    rule = task.rule
    if rule is None or not rule.webhook_url or (rule.webhook_failures_only and not _went_wrong(task)):
        return
    now = timezone.now()
    away = _waiting().filter(rule=rule, http_status__in=AWAY).exclude(reason="")
    put_off = away.aggregate(until=Max("next_try_at"))["until"]
    announcement, created = Announcement.objects.get_or_create(
        rule=rule, task=task, defaults={"url": rule.webhook_place, "next_try_at": max(put_off or now, now)}
    )
    if created and announcement.next_try_at == now:
        transaction.on_commit(partial(queue.enqueue_announcement, announcement.pk))


def _went_wrong(task: SyncTask) -> bool:
    return bool(task.failed) or task.status in (Status.FAILED, Status.PARTIAL)


def enqueue_due() -> None:
    """What the queue lost, or what was put off until now: the first of each rule, which brings on the others."""
    due = _waiting().filter(next_try_at__lte=timezone.now()).order_by()
    for first in due.values("rule").annotate(first=Min("pk")).values_list("first", flat=True)[:ASKED_AT_ONCE]:
        if not queue.enqueue_announcement(first):
            return


def deliver(announcement_id: int) -> None:
    """Makes one attempt, when it is time for one and nobody else makes it."""
    found = Announcement.objects.select_related("rule__source", "rule__target", "task__source")
    announcement = found.filter(pk=announcement_id).first()
    if announcement is None or not _claimed(announcement):
        return
    outcome = _attempt(announcement)
    with transaction.atomic():
        _record(announcement, outcome)
    if outcome.delivered:
        _bring_on(announcement.rule_id)


def send_again(announcement: Announcement) -> bool:
    """As if it were new. False when it is being sent, or will be in a moment."""
    now = timezone.now()
    same = Announcement.objects.filter(pk=announcement.pk)
    # Nobody who sends it now claimed it for longer.
    idle = ~Q(status=Announcement.Status.WAITING) | Q(next_try_at__gt=now + timedelta(seconds=ATTEMPT_SECONDS))
    waiting = Announcement.Status.WAITING
    if not same.filter(idle).update(status=waiting, attempts=0, next_try_at=now, delivered_at=None):
        return False
    queue.enqueue_announcement(announcement.pk)
    return True


def send_test(rule: SyncRule) -> Outcome:
    """At once, from here, and remembered nowhere."""
    return _send(rule, f"test-{uuid4()}", telling.test_of(rule))


def _claimed(announcement: Announcement) -> bool:
    now = timezone.now()
    mine = _waiting().filter(pk=announcement.pk, attempts=announcement.attempts, next_try_at__lte=now)
    if announcement.attempts > len(BACK_OFF):
        mine.update(status=Announcement.Status.FAILED, next_try_at=None, reason=GONE)
        return False
    url, until = announcement.rule.webhook_place or announcement.url, now + timedelta(seconds=ATTEMPT_SECONDS)
    if not mine.update(attempts=announcement.attempts + 1, next_try_at=until, url=url):
        return False
    announcement.attempts += 1
    return True


def _attempt(announcement: Announcement) -> Outcome:
    rule = announcement.rule
    if not rule.webhook_url:
        return Outcome(False, reason=NO_WEBHOOK)
    return _send(rule, str(announcement.pk), telling.of_task(announcement.task, rule))


def _send(rule: SyncRule, delivery: str, body: bytes) -> Outcome:
    try:
        secret = rule.webhook_secret
    except CredentialKeyMissing:
        return Outcome(
            False,
            reason="The webhook's secret was encrypted with a key that is not in CREDENTIAL_KEYS. "
            "Put that key back, or enter the secret again.",
        )
    if not secret:
        return Outcome(False, reason="The webhook has no secret to sign with. Enter one in the rule.")
    return send(rule.webhook_url, secret, delivery, body)


def _record(announcement: Announcement, outcome: Outcome) -> None:
    now = timezone.now()
    again = outcome.again and announcement.attempts <= len(BACK_OFF)
    said: dict[str, Any] = {"http_status": outcome.http_status, "reason": outcome.reason}
    if outcome.delivered:
        said |= {"status": Announcement.Status.DELIVERED, "next_try_at": None, "delivered_at": now}
    elif again:
        wait = max(BACK_OFF[announcement.attempts - 1], outcome.after)
        said |= {"next_try_at": now + timedelta(seconds=wait)}
    else:
        said |= {"status": Announcement.Status.FAILED, "next_try_at": None}
    mine = _waiting().filter(pk=announcement.pk, attempts=announcement.attempts)
    if mine.update(**said) and outcome.again and outcome.http_status in AWAY:
        _others_wait(announcement, outcome, said["next_try_at"] or now)


def _others_wait(announcement: Announcement, outcome: Outcome, until: datetime) -> None:
    others = _waiting().filter(rule=announcement.rule_id).exclude(pk=announcement.pk)
    others.filter(created_at__lt=timezone.now() - LONGEST_WAIT).update(
        status=Announcement.Status.FAILED, next_try_at=None, reason=WAITED.format(outcome.reason)
    )
    others.filter(next_try_at__lt=until).update(next_try_at=until)


def _bring_on(rule_id: int) -> None:
    """The receiver takes what it is told: what waited behind this one waits no longer."""
    waiting = _waiting().filter(rule=rule_id, attempts=0)
    waiting.update(next_try_at=timezone.now())
    for one in waiting.order_by("pk").values_list("pk", flat=True)[:ASKED_AT_ONCE]:
        if not queue.enqueue_announcement(one):
            return
