"""What the API tells, as JSON."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from sync.models import Instance, SyncTask, TaskResource
from sync.services import bulk, locate, waiting
from sync.services.reading import told

FAILURES = 100


def url_of(request: HttpRequest, task: SyncTask) -> str:
    """Its page, for people."""
    path = reverse("task", args=[task.source.name if task.source else "", task.pk])
    return f"{settings.CONSOLE_URL.rstrip('/')}{path}" if settings.CONSOLE_URL else request.build_absolute_uri(path)


def task(request: HttpRequest, of: SyncTask) -> dict[str, Any]:
    wait = waiting.of_task(of) if of.is_open else None
    failed = TaskResource.objects.filter(repository__task=of, outcome=TaskResource.Outcome.FAILED)
    return {
        **bulk.summary(of),
        "url": url_of(request, of),
        "target": of.target.name if of.target else "",
        "ended": not of.is_open,
        "superseded": of.superseded,
        "removed": of.removed,
        "success_rate": f"{of.succeeded}/{of.planned}",
        "all_planned": of.all_planned,
        "waits_for": wait and {"what": wait.what, "reason": wait.reason, "seconds": wait.seconds},
        "trigger": of.trigger,
        "actor": of.actor,
        "created": _moment(of.created_at),
        "started": _moment(of.started_at),
        "finished": _moment(of.finished_at),
        "failures": [_failure(one) for one in failed.select_related("repository").order_by("pk")[:FAILURES]],
    }


def _failure(one: TaskResource) -> dict[str, Any]:
    return {
        "repository": one.repository.name,
        "tag": one.tag,
        "side": one.side,
        "operation": one.operation,
        "status": one.http_status or None,
        "code": one.code,
        "reason": one.reason,
        "hint": one.hint,
    }


def answer(request: HttpRequest, found: locate.Answer, instance: Instance) -> dict[str, Any]:
    """As far as it concerns the instance: what it holds, and what its rules do and bring where."""
    rules = [one for one in found.rules if one.rule.source == instance]
    ends = {one.route.target for one in rules}
    concerned = [one for one in found.sightings if one.place.instance == instance or one.place in ends]
    return {
        "ref": str(found.wanted),
        "instances": [_sighting(one) for one in concerned],
        "rules": [_rule(request, one) for one in rules],
    }


def _sighting(one: locate.Sighting) -> dict[str, Any]:
    brought = one.delivery
    return {
        "instance": one.place.instance.name,
        "region": one.place.instance.region,
        "repository": one.place.repository,
        "state": str(one.seen.state),
        "digest": one.seen.digest,
        "problem": told(one.seen.problem),
        "differs": one.differs,
        "changed_by_others": one.changed,
        "rule": str(brought.rule) if brought else "",
        "since": _moment(brought.delivered_at) if brought else None,
    }


def _rule(request: HttpRequest, one: locate.RuleAnswer) -> dict[str, Any]:
    return {
        "rule": str(one.rule),
        "target": one.rule.target.name,
        "repository": one.route.source.repository,
        "target_repository": one.route.target.repository,
        "verdict": str(one.verdict),
        "reasons": [str(reason) for reason in one.reasons],
        "next_step": one.next_step,
        "last_outcome": one.last.outcome if one.last else "",
        "last_reason": one.last.reason if one.last else "",
        "brought": one.brought.digest if one.brought else "",
        "brought_at": _moment(one.brought.delivered_at) if one.brought else None,
        "task": one.task.pk if one.task else None,
        "task_url": url_of(request, one.task) if one.task else "",
    }


def _moment(when: datetime | None) -> str | None:
    return when.isoformat(timespec="seconds") if when else None
