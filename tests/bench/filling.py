"""A database as large as a console's becomes in years: many rules, tasks and resources, and a few that are huge."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from sync.models import Instance, LogLine, Status, SyncRule, SyncTask, TaskRepository, TaskResource

INSTANCES, RULES, TASKS = 40, 2_000, 20_000
# Of the whole: half of the rules belong to one instance, a tenth of the tasks to one rule.
REPOSITORIES_A_TASK, RESOURCES_A_REPOSITORY, LINES_A_TASK = 4, 10, 20
# One task of very many repositories that runs, and one of a repository with very many tags that has ended.
BROAD_REPOSITORIES, DEEP_RESOURCES, LINES_OF_BROAD = 5_000, 100_000, 10_000
BATCH = 5_000

RESOURCES = """
INSERT INTO sync_taskresource (repository_id, tag, kind, outcome, digest, target_digest, moved_bytes, side, operation,
    http_status, code, reason, hint, retryable, finished_at)
SELECT one.id, 'v1.' || number, 'image',
    CASE WHEN number <= one.failed THEN 'failed' WHEN number <= one.failed + one.conflict THEN 'conflict'
        ELSE 'copied' END,
    'sha256:' || md5(one.id || '/' || number) || md5(number || '/' || one.id), '', 1000000, '', '',
    0, '', '', '', false, now()
FROM sync_taskrepository AS one CROSS JOIN LATERAL generate_series(1, one.planned) AS number
"""
LINES = """
INSERT INTO sync_logline (task_id, at, level, repository, message)
SELECT one.id, one.created_at, CASE WHEN number % 10 = 0 THEN 'warning' ELSE 'info' END, 'prod/web/nginx',
    'v1.' || number || ': copied, 1.0 MB moved.'
FROM sync_synctask AS one
    CROSS JOIN LATERAL generate_series(1, CASE WHEN one.id = {broad} THEN {many} ELSE {few} END) AS number
"""


@dataclass(frozen=True)
class Filled:
    """What is largest of it, and how much there is of everything."""

    source: Instance
    rule: SyncRule
    broad: SyncTask
    deep: TaskRepository
    rows: dict[str, int]


def fill(scale: float) -> Filled:
    User.objects.create_superuser("bench")
    instances = _instances()
    rules = _rules(instances, round(RULES * scale))
    _tasks(rules, round(TASKS * scale))
    _repositories(SyncTask.objects.values_list("pk", flat=True))
    broad = _broad(rules[0], round(BROAD_REPOSITORIES * scale))
    deep = _deep(rules[0], round(DEEP_RESOURCES * scale))
    with connection.cursor() as cursor:
        cursor.execute(RESOURCES)
        cursor.execute(LINES.format(broad=broad.pk, many=round(LINES_OF_BROAD * scale), few=LINES_A_TASK))
        cursor.execute("VACUUM ANALYZE")
    rows = {
        "rules": SyncRule.objects.count(),
        "tasks": SyncTask.objects.count(),
        "repositories": TaskRepository.objects.count(),
        "resources": TaskResource.objects.count(),
        "log lines": LogLine.objects.count(),
    }
    return Filled(instances[0], rules[0], broad, deep, rows)


def _instances() -> list[Instance]:
    """At addresses where nothing listens."""
    return Instance.objects.bulk_create(
        Instance(name=f"registry-{number:02}", region=f"region-{number % 7}", url="http://127.0.0.1:1")
        for number in range(INSTANCES)
    )


def _rules(instances: list[Instance], count: int) -> list[SyncRule]:
    return SyncRule.objects.bulk_create(
        SyncRule(
            name=f"rule-{number:05}",
            source=instances[0 if number % 2 == 0 else number % INSTANCES],
            source_namespace=f"team-{number % 30}",
            target=instances[number % INSTANCES - 1],
            target_namespace="copies",
            enabled=number % 5 != 0,
        )
        for number in range(count)
    )


def _tasks(rules: list[SyncRule], count: int) -> None:
    began = timezone.now() - timedelta(days=90)
    made = (_task(rules[0 if number % 10 == 0 else number % len(rules)], number, began) for number in range(count))
    while batch := list(islice(made, BATCH)):
        SyncTask.objects.bulk_create(batch)


def _task(rule: SyncRule, number: int, began: datetime) -> SyncTask:
    planned = REPOSITORIES_A_TASK * RESOURCES_A_REPOSITORY
    failed = number % 7 == 0
    created = began + timedelta(minutes=6 * number)
    return SyncTask(
        rule=rule,
        source_id=rule.source_id,
        target_id=rule.target_id,
        snapshot=rule.snapshot(),
        trigger="push" if number % 3 else "manual",
        status=Status.PARTIAL if failed else Status.SUCCEEDED,
        created_at=created,
        started_at=created,
        finished_at=created + timedelta(minutes=3),
        repository_count=REPOSITORIES_A_TASK,
        all_planned=True,
        planned=planned,
        copied=planned - REPOSITORIES_A_TASK * failed,
        failed=REPOSITORIES_A_TASK * failed,
    )


def _repositories(tasks: Iterable[int]) -> None:
    made = (
        TaskRepository(
            task_id=task,
            name=f"prod/web/service-{number}",
            target_name=f"copies/web/service-{number}",
            status=Status.SUCCEEDED,
            listed=True,
            planned=RESOURCES_A_REPOSITORY,
            copied=RESOURCES_A_REPOSITORY,
        )
        for task in list(tasks)
        for number in range(REPOSITORIES_A_TASK)
    )
    while batch := list(islice(made, BATCH)):
        TaskRepository.objects.bulk_create(batch)


def _broad(rule: SyncRule, count: int) -> SyncTask:
    """It has run for five minutes: some of it failed, some is at work, the rest waits."""
    task = _task(rule, 0, timezone.now() - timedelta(minutes=5))
    task.status, task.finished_at, task.repository_count = Status.SYNCHRONIZING, None, count
    task.planned, task.copied, task.failed = count * 20, count * 4, count // 50
    task.save()
    statuses = (Status.FAILED, Status.SYNCHRONIZING, *(Status.SUCCEEDED,) * 5, *(Status.WAITING,) * 13)
    TaskRepository.objects.bulk_create(
        TaskRepository(
            task=task,
            name=f"prod/team-{number % 30}/service-{number:05}",
            target_name=f"copies/team-{number % 30}/service-{number:05}",
            status=statuses[number % len(statuses)],
            listed=True,
            planned=20,
            failed=1 if statuses[number % len(statuses)] is Status.FAILED else 0,
        )
        for number in range(count)
    )
    return task


def _deep(rule: SyncRule, count: int) -> TaskRepository:
    task = _task(rule, 0, timezone.now() - timedelta(hours=1))
    task.status, task.repository_count = Status.PARTIAL, 1
    task.planned, task.copied, task.failed = count, count - count // 100, count // 100
    task.save()
    return TaskRepository.objects.create(
        task=task,
        name="prod/monorepo",
        target_name="copies/monorepo",
        status=Status.PARTIAL,
        listed=True,
        planned=count,
        copied=task.copied - count // 100,
        failed=task.failed,
        conflict=count // 100,
    )
