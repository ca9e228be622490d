"""Pages ask the database a dozen times at most, however many rows there are."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from sync.models import (
    ApiToken,
    Instance,
    LogLine,
    Status,
    SyncRule,
    SyncTask,
    TaskPart,
    TaskRepository,
    TaskResource,
    Verb,
)
from sync.oci.errors import OciError
from sync.services import audit, configure, outages
from tests.fakes.lists import HELD, ListingRegistry
from tests.fakes.registry import Answer
from tests.pages.test_rules import RULES
from tests.pages.test_tasks import HTMX, LOGS, live, make_repository, make_task
from tests.pages.tokens import make_token

MOST_QUERIES = 12


@pytest.fixture
def listed(rule: SyncRule) -> Iterator[None]:
    """Both sides answer: what pages look up there, they compare with what the database knows."""
    names = {f"prod/r{number}": ["v1", "v2"] for number in range(8)}
    with ListingRegistry(names, 100, {}) as source, ListingRegistry(names, 100, {}) as target:
        for instance, registry in ((rule.source, source), (rule.target, target)):
            for name in names:
                registry.script("GET", f"/v2/{name}/manifests/", Answer(headers=HELD, body=b"{}"))
            instance.url = registry.url
            instance.save()
        yield


@pytest.fixture
def urls(rule: SyncRule, listed: None) -> dict[str, str]:
    """Every page, by name; of a task that runs and of one that ended badly."""
    running = make_task(rule, "synchronizing", planned=3, copied=1, repository_count=1)
    ended = make_task(rule, "partial", planned=3, failed=1, all_planned=True, repository_count=1)
    repository = make_repository(ended, "prod/web", "partial", planned=3, failed=1, listed=True)
    make_repository(running, "prod/web", "synchronizing", planned=3, copied=1, listed=True)
    make_token(rule.source, User.objects.create_user("ann"))
    names = [rule.source.name, rule.name]
    rules, logs = reverse("rules", args=names[:1]), reverse("rule", args=names)
    task = reverse("task", args=[names[0], running.pk])
    return {
        "instances": reverse("instances"),
        "instance": reverse("instance", args=names[:1]),
        "instance-namespaces": reverse("instance-namespaces", args=names[:1]),
        "instance-edit": reverse("instance-edit", args=names[:1]),
        "instance-delete": reverse("instance-delete", args=names[:1]),
        "instance-tokens": reverse("instance-tokens", args=names[:1]),
        "hook-secret": reverse("hook-secret", args=names[:1]),
        "where": reverse("where"),
        "where, found": reverse("where", query={"ref": "prod/r1:v1", "now": "on"}),
        "audit": reverse("audit"),
        "audit, filtered": reverse("audit", query={"who": "o", "kind": "rule", "instance": names[0], "period": "7"}),
        "preferences": reverse("preferences"),
        "rules": rules,
        "rules, filtered": f"{rules}?q=w&state=enabled&target=prod-eu",
        "rules, failing": f"{rules}?state=failing",
        **{f"rules by {sort}": f"{rules}?sort={sort}" for sort in ("-name", "-run", "lag", "-lag", "-status")},
        "rule-new": reverse("rule-new", args=names[:1]),
        "rule-edit": reverse("rule-edit", args=names),
        "rule-delete": reverse("rule-delete", args=names),
        "rule-check": reverse("rule-check", args=names),
        "check that runs": reverse("rule-check", args=names, query={"run": "on"}),
        "logs": logs,
        "logs, filtered": f"{logs}?status=partial&period=7",
        "task": task,
        "task, filtered": f"{task}?q=web&show=copied",
        "task that ended": reverse("task", args=[names[0], ended.pk]),
        "task-log": reverse("task-log", args=[names[0], ended.pk]),
        "task-repository": reverse("task-repository", args=[names[0], ended.pk, repository.pk]),
    }


def asked(console: Client, urls: dict[str, str], rule: SyncRule) -> dict[str, int]:
    """How many queries each page takes, and the preview of a form, the session being used already."""
    typed = {"source_namespace": "prod", "images": "on", "target": rule.target.pk, "target_namespace": "prod"}
    preview = partial(console.post, reverse("preview-new", args=[rule.source.name]), typed)
    pages = {name: partial(console.get, url) for name, url in urls.items()}
    counts = {}
    for name, ask in {**pages, "preview": partial(preview, headers=HTMX), "preview without script": preview}.items():
        cache.clear()  # what is remembered for seconds is looked up now, and not in the midst of counting
        ask()
        with CaptureQueriesContext(connection) as queries:
            assert ask().status_code == 200, name
        counts[name] = len(queries)
    return counts


def add_rows(rule: SyncRule) -> None:
    """More than a page of everything."""
    many: Any = range(120)
    Instance.objects.bulk_create(Instance(name=f"more-{n}", region="x", url="http://127.0.0.1:1") for n in many)
    same = {"source": rule.source, "target": rule.target}
    makers = User.objects.bulk_create(User(username=f"u{n}") for n in many)
    days = {"instance": rule.source, "expires_at": timezone.now() + timedelta(days=1)}
    ApiToken.objects.bulk_create(ApiToken(name=f"t{one}", token_hash=f"{one}", maker=one, **days) for one in makers)
    rules = SyncRule.objects.bulk_create(SyncRule(name=f"w{n:03}", source_namespace="a", **same) for n in many)
    tasks = [SyncTask(rule=one, snapshot=one.snapshot(), status="partial", **same) for one in (*rules, *[rule] * 120)]
    SyncTask.objects.bulk_create(tasks)
    for thing in (*rules[:40], *SyncTask.objects.all()[:40]):
        audit.note(Verb.CHANGED, thing, actor="somebody")
    for task in SyncTask.objects.filter(rule=rule).order_by("pk")[:2]:
        TaskRepository.objects.bulk_create(
            TaskRepository(task=task, name=f"web{n:03}", target_name="web", copied=1) for n in many
        )
        LogLine.objects.bulk_create(LogLine(task=task, message="copied") for _ in many)
    for repository in TaskRepository.objects.filter(name="prod/web"):
        TaskResource.objects.bulk_create(
            TaskResource(repository=repository, tag=f"{n}", outcome="copied") for n in many
        )


def test_no_page_asks_more_with_more_rows(console, rule, urls):
    few = asked(console, urls, rule)
    add_rows(rule)
    many = asked(console, urls, rule)
    assert {name: count for name, count in many.items() if count > MOST_QUERIES} == {}
    # One more where a count is needed as not all rows are shown.
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name] + 1} == {}


def polled(console: Client, url: str, part: str) -> tuple[int, int]:
    """The status of the poll that the page would make, and how many queries it takes besides session and user."""
    poll = live(console.get(url).content.decode(), part)["hx-get"]
    with CaptureQueriesContext(connection) as queries:
        answer = console.get(poll, headers={**HTMX, "HX-Target": part})
    return answer.status_code, len(queries) - 2


def test_a_poll_of_what_is_at_rest_asks_hardly_anything(console, rule):
    make_task(rule, "partial", planned=3, failed=1)
    waiting = make_task(SyncRule.objects.create(name="api", source=rule.target, target=rule.source), "waiting")
    TaskPart.objects.create(task=waiting)
    task = reverse("task", args=["prod-eu", waiting.pk])
    parts = {"rules": RULES, "logs": LOGS, "progress": task, "repositories": task}
    assert {part: polled(console, url, part) for part, url in parts.items()} == dict.fromkeys(parts, (204, 2))


def a_webhook(rule: SyncRule) -> None:
    SyncRule.objects.update(webhook_url="https://hooks.example/")


def a_delivery(rule: SyncRule) -> None:
    rule.announcements.create(task=rule.tasks.earliest("pk"), url="https://hooks.example/", status="failed")


def an_answer_to_it(rule: SyncRule) -> None:
    rule.announcements.update(status="delivered", http_status=200)


def a_push_that_waits_behind(rule: SyncRule) -> None:
    older = rule.tasks.earliest("pk")
    SyncTask.objects.filter(pk=older.pk).update(status="synchronizing", trigger="push", notified_at=timezone.now())


CHANGES: dict[str, list[Callable[[SyncRule], object]]] = {
    "rules": [
        lambda rule: configure.switch_rule(rule, False),
        lambda rule: SyncRule.objects.update(name="site"),
        lambda rule: SyncRule.objects.update(lag_median=3.0, lag_p95=4.0, lag_worst=5.0),
        lambda rule: SyncRule.objects.create(name="new", source=rule.source, target=rule.target),
        lambda rule: Instance.objects.filter(pk=rule.target.pk).update(region="Lyon"),
        lambda rule: outages.note_health(rule.target, "Refused."),
        lambda rule: outages.went_down(rule.target, OciError("It is away.")),
        lambda rule: SyncTask.objects.update(created_at=timezone.now() - timedelta(minutes=3)),
        a_push_that_waits_behind,
        lambda rule: rule.tasks.earliest("pk").close(Status.PARTIAL),
        lambda rule: make_task(rule, "waiting"),
        lambda rule: rule.tasks.latest("pk").start(),
        lambda rule: rule.tasks.filter(status="synchronizing").update(planned=3, copied=1),
        lambda rule: rule.tasks.filter(status="synchronizing").update(status="failed"),
        lambda rule: rule.tasks.latest("pk").delete(),
        lambda rule: SyncRule.objects.filter(name="new").delete(),
    ],
    "logs": [
        a_webhook,
        a_delivery,
        an_answer_to_it,
        lambda rule: rule.announcements.update(created_at=timezone.now() - timedelta(hours=3)),
        lambda rule: make_task(rule, "waiting"),
        lambda rule: rule.tasks.latest("pk").start(),
        lambda rule: rule.tasks.filter(status="synchronizing").update(planned=3, copied=1),
        lambda rule: rule.tasks.filter(status="synchronizing").update(status="failed", reason="Refused."),
        lambda rule: rule.tasks.latest("pk").delete(),
    ],
}


@pytest.mark.parametrize(("part", "url"), [("rules", RULES), ("logs", LOGS)])
def test_every_change_that_is_shown_comes_with_the_next_poll(part, url, console, rule):
    for _ in range(2):
        make_task(rule, "partial", planned=3, failed=1)
    known = live(console.get(url).content.decode(), part)["hx-get"]
    for number, change in enumerate(CHANGES[part]):
        assert console.get(known, headers=HTMX).status_code == 204, number
        change(rule)
        rule.refresh_from_db(fields=["enabled"])
        cache.clear()
        answer = console.get(known, headers=HTMX)
        assert answer.status_code == 200, number
        known = live(answer.content.decode(), part)["hx-get"]
        if 'class="new"' in answer.content.decode():
            known = live(console.get(known, headers=HTMX).content.decode(), part)["hx-get"]


def test_no_page_counts_a_table_or_leaves_rows_out_by_number(console, rule, urls):
    add_rows(rule)
    with CaptureQueriesContext(connection) as queries:
        for url in urls.values():
            console.get(url)
            console.get(f"{url}{'&' if '?' in url else '?'}after=w050")
    for query in queries:
        assert " OFFSET " not in query["sql"]
        if 'COUNT(*) AS "__count" FROM "sync_' in query["sql"]:
            assert '"sync_synctask"' in query["sql"] and '"status" IN' in query["sql"], "open tasks of a rule alone"
