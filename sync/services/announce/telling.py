"""What is told: a task as it ended, in JSON that a program reads."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from sync.models import SyncRule, SyncTask, TaskResource
from sync.services.reading import Reader

FAILURES = 5
ENDED, TEST = "task.ended", "test"


def of_task(task: SyncTask, rule: SyncRule) -> bytes:
    shown = Reader.of_rule(rule)
    shown.in_full = shown.sees(task.source, task.target)
    told = {
        "event": ENDED,
        **_rule(rule),
        "task": {
            "id": task.pk,
            "trigger": task.trigger,
            "status": task.status,
            "reason": shown(task.reason),
            "created_at": _moment(task.created_at),
            "started_at": _moment(task.started_at),
            "finished_at": _moment(task.finished_at),
            "url": _link(task),
        },
        "counts": {field: getattr(task, field) for field in SyncTask.FIELDS},
        "failures": _failures(task, shown),
    }
    return _bytes(told)


def test_of(rule: SyncRule) -> bytes:
    return _bytes({"event": TEST, **_rule(rule), "sent_at": _moment(timezone.now())})


def _rule(rule: SyncRule) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "source": {"instance": rule.source.name, "namespace": rule.source_namespace},
        "target": {"instance": rule.target.name, "namespace": rule.resulting_namespace},
    }


def _failures(task: SyncTask, shown: Reader) -> list[dict[str, Any]]:
    """The first of them; how many there are, the counts tell."""
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    columns = ("repository__name", "tag", "side", "http_status", "reason")
    return [
        {"repository": name, "tag": tag, "side": side, "http_status": status or None, "reason": shown(reason)}
        for name, tag, side, status, reason in failed.order_by("pk").values_list(*columns)[:FAILURES]
    ]


def _link(task: SyncTask) -> str | None:
    """To its page; a worker knows under which address the console is seen only from CONSOLE_URL."""
    if not settings.CONSOLE_URL or task.source is None:
        return None
    return f"{settings.CONSOLE_URL.rstrip('/')}{reverse('task', args=[task.source.name, task.pk])}"


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None


def _bytes(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode()
