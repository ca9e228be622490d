"""Triggering Logs and the page of a task."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.models import Status, SyncRule, SyncTask, TaskRepository, TaskResource
from sync.templatetags.console import duration, success_rate
from tests.pages.html import attributes, by_id, elements, texts, words

LOGS = "/i/prod-gz/rules/web/"
COLUMNS = [
    "Task ID",
    "Create Time",
    "Trigger",
    "Time Spent",
    "Success Rate",
    "Number of synced repositories",
    "Synchronization Status",
]
HTMX = {"HX-Request": "true"}


def make_task(rule: SyncRule, status: str = "succeeded", **values: Any) -> SyncTask:
    values = {"source": rule.source, "target": rule.target, "snapshot": rule.snapshot(), "trigger": "manual", **values}
    return SyncTask.objects.create(rule=rule, status=status, **values)


def make_repository(task: SyncTask, name: str, status: str = "succeeded", **values: Any) -> TaskRepository:
    return TaskRepository.objects.create(task=task, name=name, target_name=name, status=status, **values)


def url_of(task: SyncTask) -> str:
    return f"/i/prod-gz/tasks/{task.pk}/"


def rows_of(html: str) -> list[str]:
    """The names of the rows of a list, without what is told of them."""
    return [words(head).split()[0] for head in elements(html, "th") if attributes(head)["scope"] == "row"]


def page_links(html: str) -> dict[str, str]:
    """Where the links to the pages before and behind lead."""
    links = (attributes(link) for link in elements(html, "a"))
    return {found["rel"]: found["href"] for found in links if "rel" in found}


def live(html: str, name: str) -> dict[str, str]:
    return attributes(by_id(html, name))


def test_logs_have_exactly_these_columns(console, rule):
    make_task(rule)
    heads = [head for head in elements(console.get(LOGS).content.decode(), "th") if attributes(head)["scope"] == "col"]
    assert [words(head) for head in heads] == COLUMNS


def test_logs_are_one_row_per_triggering_newest_first(console, rule):
    other = SyncRule.objects.create(name="other", source=rule.source, source_namespace="a", target=rule.target)
    tasks = [make_task(rule, trigger=trigger) for trigger in ("manual", "push", "command")]
    make_task(other)
    heads = [head for head in elements(console.get(LOGS).content.decode(), "th") if attributes(head)["scope"] == "row"]
    assert [words(head) for head in heads] == [str(task.pk) for task in reversed(tasks)]


def test_a_row_tells_the_task(console, rule):
    created = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    task = make_task(
        rule,
        "partial",
        actor="ann",
        created_at=created,
        started_at=created + timedelta(seconds=30),
        finished_at=created + timedelta(seconds=155),
        planned=8,
        copied=4,
        unchanged=1,
        conflict=2,
        failed=1,
        repository_count=3,
        all_planned=True,
    )
    cells = [words(cell) for cell in elements(console.get(LOGS).content.decode(), "td")]
    assert cells[:6] == [
        "2026-05-04 03:02:01 UTC",
        "Manual by ann",
        "2 min 05 s",
        "5 of 8\xa0· 62\xa0%".replace("\xa0", " "),
        "3",
        "Partial 2 conflicts",
    ]
    time = next(elements(console.get(url_of(task)).content.decode(), "time"))
    assert attributes(time)["datetime"] == "2026-05-04T03:02:01+00:00"


def test_logs_without_a_task_say_what_starts_one(console, rule):
    page = console.get(LOGS).content.decode()
    assert "Not triggered yet. A push matching this rule starts it, or use Sync." in texts(page, "p")
    assert words(by_id(page, "copy-receiver")) == "http://testserver/hooks/prod-gz/"
    assert "Copy Address" in [attributes(one).get("aria-label") for one in elements(page, "button")]
    (link,) = (one for one in elements(page, "a") if words(one) == "Set up notifications of prod-gz")
    place = attributes(link)["href"]
    assert by_id(console.get(place.split("#")[0]).content.decode(), place.split("#")[1])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"status": "waiting"}, "—"),
        ({"status": "synchronizing"}, "—"),
        ({"status": "succeeded", "all_planned": True}, "nothing to do"),
        ({"status": "failed"}, "—"),
        (
            {"status": "succeeded", "all_planned": True, "planned": 3, "copied": 1, "unchanged": 1, "removed": 1},
            "3 of 3 · 100 %",
        ),
        ({"status": "succeeded", "all_planned": True, "planned": 3, "copied": 2, "conflict": 1}, "2 of 3 · 66 %"),
        ({"status": "partial", "all_planned": True, "planned": 1000, "copied": 999, "failed": 1}, "999 of 1000 · 99 %"),
        ({"status": "synchronizing", "planned": 5, "copied": 2}, "2 of at least 5 · 40 %"),
        ({"status": "synchronizing", "planned": 5, "copied": 5}, "5 of at least 5 · 99 %"),
        # A repository whose tags could not be listed has planned nothing, and yet it failed.
        ({"status": "partial", "all_planned": True, "planned": 5, "copied": 5}, "5 of at least 5 · 99 %"),
    ],
)
def test_success_rate(values, shown):
    assert success_rate(SyncTask(**values)).replace("\xa0", " ") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (2.44, "2.4 s"),
        (9.94, "9.9 s"),
        (9.97, "10 s"),
        (59, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (90061, "25 h 01 min"),
    ],
)
def test_durations(seconds, shown):
    assert duration(timedelta(seconds=seconds)) == shown


def test_time_spent_goes_on_while_a_task_runs(console, rule):
    make_task(rule, "synchronizing", started_at=timezone.now() - timedelta(hours=30))
    assert "30 h 00 min" in texts(console.get(LOGS).content.decode(), "td")


@pytest.mark.parametrize(
    ("status", "minutes", "interval"),
    [
        ("waiting", None, "every 5s"),
        ("synchronizing", 0.5, "every 2s"),
        ("synchronizing", 5, "every 5s"),
        ("synchronizing", 60 * 48, "every 15s"),
        ("succeeded", 5, None),
        ("failed", 5, None),
        ("stopped", None, None),
    ],
)
def test_the_page_of_a_task_looks_again_ever_more_rarely_and_stops_at_the_end(console, rule, status, minutes, interval):
    started = timezone.now() - timedelta(minutes=minutes) if minutes else None
    trigger = live(console.get(url_of(make_task(rule, status, started_at=started))).content.decode(), "progress").get(
        "hx-trigger"
    )
    assert (trigger or "").split(",")[0] == (interval or "")


def test_lists_go_on_looking(console, rule):
    make_task(rule)
    for url, name in ((LOGS, "logs"), ("/i/prod-gz/rules/", "rules")):
        assert live(console.get(url).content.decode(), name)["hx-trigger"].startswith("every 15s")


def test_a_poll_answers_with_the_part_when_something_changed_and_with_nothing_else(console, rule):
    task = make_task(rule, "waiting")
    poll = live(console.get(url_of(task)).content.decode(), "progress")["hx-get"]
    assert console.get(poll, headers=HTMX).status_code == 204
    task.close(Status.FAILED, "The source prod-gz cannot be reached.")
    answer = console.get(poll, headers=HTMX)
    part = answer.content.decode()
    assert "hx-trigger" not in live(part, "progress") and not texts(part, "h1")
    assert words(by_id(part, "announcer")).startswith(f"Task {task.pk}: Failed")
    assert "HX-Request" in answer.headers["Vary"]
    assert texts(console.get(poll).content.decode(), "h1"), "the same URL without htmx is the page"


def test_a_page_restored_from_history_is_whole(console, rule):
    answer = console.get(url_of(make_task(rule)), headers={**HTMX, "HX-History-Restore-Request": "true"})
    assert texts(answer.content.decode(), "h1")


def test_progress_while_not_all_is_planned(console, rule):
    task = make_task(
        rule, "synchronizing", started_at=timezone.now(), planned=40, copied=9, failed=1, repository_count=7
    )
    page = console.get(url_of(task)).content.decode()
    bar = attributes(by_id(page, "task-progress"))
    assert (bar["max"], bar["value"]) == ("40", "10")
    assert words(by_id(page, "progress-label")).startswith("10 of at least 40 resources")
    counters = texts(page, "li")
    assert {"Copied 9", "Failed 1", "Waiting 30"} <= set(counters)


def test_the_reason_of_a_failed_task_is_shown(console, rule):
    task = make_task(rule, "failed", reason="Source prod-gz: the connection was refused.")
    assert task.reason in texts(console.get(url_of(task)).content.decode(), "p")
    assert task.reason in texts(console.get(LOGS).content.decode(), "span")


def test_nothing_to_do_is_said(console, rule):
    task = make_task(rule, all_planned=True, repository_count=0)
    page = console.get(url_of(task)).content.decode()
    assert any("Nothing to do" in text for text in texts(page, "p")) and "nothing to do" in texts(page, "span")


def test_repositories_failed_ones_first_then_running_then_the_rest_then_those_with_nothing_to_do(console, rule):
    task = make_task(rule, "synchronizing", started_at=timezone.now())
    for name, status in (("b", "waiting"), ("c", "synchronizing"), ("d", "failed")):
        make_repository(task, name, status)
    make_repository(task, "a", "succeeded", planned=1, unchanged=1)
    make_repository(task, "0", "succeeded", planned=0)
    make_repository(task, "e", "partial", failed=1)
    page = console.get(url_of(task)).content.decode()
    assert [words(head) for head in elements(page, "th") if attributes(head)["scope"] == "row"] == list("decab0")


def test_a_repository_with_nothing_to_do_shows_no_status(console, rule):
    task = make_task(rule, "partial", planned=1, failed=1, all_planned=True)
    needless = make_repository(task, "0")
    page = console.get(url_of(task)).content.decode()
    assert next(words(row) for row in elements(page, "tr") if words(row).startswith("0")) == "0 Nothing to do — —"
    page = console.get(f"{url_of(task)}repositories/{needless.pk}/").content.decode()
    assert "Succeeded" not in texts(page, "span") and "Nothing to do" in texts(page, "span")


def test_the_bar_of_an_ended_task_tells_its_failures(console, rule):
    task = make_task(rule, "partial", planned=64, copied=63, failed=1, all_planned=True)
    page = console.get(url_of(task)).content.decode()
    assert words(by_id(page, "progress-label")).startswith("64 of 64 resources tried, 1 failed, 0")
    assert attributes(by_id(page, "task-progress"))["class"] == "status-partial"
    SyncTask.objects.update(copied=64, failed=0)
    assert "failed" not in words(by_id(console.get(url_of(task)).content.decode(), "progress-label"))


def test_fifty_repositories_a_page(console, rule):
    task = make_task(rule)
    names = [f"r{number:03}" for number in range(120)]
    TaskRepository.objects.bulk_create(TaskRepository(task=task, name=name, target_name=name) for name in names)
    url: str | None = url_of(task)
    seen: list[list[str]] = []
    while url:
        html = console.get(url).content.decode()
        seen.append(rows_of(html))
        url = page_links(html).get("next")
    assert [len(names) for names in seen] == [50, 50, 20]
    assert [name for shown in seen for name in shown] == names
    back = console.get(page_links(html)["prev"]).content.decode()
    assert rows_of(back) == seen[1]
    assert rows_of(console.get(page_links(back)["prev"]).content.decode()) == seen[0]


@pytest.fixture
def failed_repository(rule: SyncRule) -> TaskRepository:
    task = make_task(rule, "partial", planned=3, copied=1, conflict=1, failed=1, all_planned=True, repository_count=1)
    repository = make_repository(task, "prod/web", "partial", planned=3, copied=1, conflict=1, failed=1)
    repository.resources.create(tag="1.0", outcome="copied", digest="sha256:" + "a" * 64, moved_bytes=1024)
    repository.resources.create(
        tag="2.0", outcome="conflict", digest="sha256:" + "b" * 64, target_digest="sha256:" + "c" * 64
    )
    repository.resources.create(
        tag="3.0",
        outcome="failed",
        side="target",
        operation="push manifest prod/web:3.0",
        http_status=403,
        code="DENIED",
        reason="Target prod-eu: push was refused.",
        hint="Give the account the right to push.",
    )
    return repository


def test_a_failure_is_explained(console, failed_repository):
    page = console.get(url_of(failed_repository.task)).content.decode()
    link = next(attributes(link)["href"] for link in elements(page, "a") if "repositories" in attributes(link)["href"])
    html = console.get(link).content.decode()
    heads = [words(head) for head in elements(html, "th") if attributes(head)["scope"] == "row"]
    assert heads == ["3.0", "2.0", "1.0"], "what needs attention comes first"
    facts = dict(zip(texts(html, "dt"), texts(html, "dd"), strict=True))
    assert facts["Side"] == "Target" and facts["Operation"] == "push manifest prod/web:3.0"
    assert facts["HTTP status"] == "403 DENIED" and facts["Next step"] == "Give the account the right to push."
    assert "sha256:" + "a" * 64 in texts(html, "span"), "the whole digest can be selected and searched"
    assert facts["Source has"] == "sha256:" + "b" * 64 and facts["Target keeps"] == "sha256:" + "c" * 64


def test_a_copy_without_a_byte_says_why(console, failed_repository):
    url = f"{url_of(failed_repository.task)}repositories/{failed_repository.pk}/"
    said = "The target had every layer"
    assert said not in texts(console.get(url).content.decode(), "span")
    TaskResource.objects.update(moved_bytes=0)
    assert texts(console.get(url).content.decode(), "span").count(said) == 1, "of what was copied only"


def test_resources_open_in_place(console, failed_repository):
    page = console.get(url_of(failed_repository.task)).content.decode()
    details = by_id(page, f"details-{failed_repository.pk}")
    assert "open" in attributes(details), "who comes to a task that failed sees why"
    loader = next(
        element for element in elements(page, "div") if "repositories" in attributes(element).get("hx-get", "")
    )
    part = console.get(attributes(loader)["hx-get"], headers=HTMX).content.decode()
    assert "3.0" in texts(part, "th") and not texts(part, "h1")


def test_a_repository_is_found_under_its_own_task_only(console, rule, failed_repository):
    other = make_task(rule)
    assert console.get(f"{url_of(other)}repositories/{failed_repository.pk}/").status_code == 404


def test_stop_asks_first_and_then_stops(console, rule):
    task = make_task(rule, "synchronizing", started_at=timezone.now() - timedelta(hours=3))
    task.parts.create(claim="a-worker")
    page = console.get(url_of(task)).content.decode()
    stop = attributes(by_id(page, "stop"))["href"]
    assert texts(console.get(stop).content.decode(), "h1") == [f"Stop task {task.pk}?"]
    task.refresh_from_db()
    assert not task.stop_requested
    assert console.post(stop).headers["Location"] == url_of(task)
    task.refresh_from_db()
    assert task.stop_requested
    page = console.get(url_of(task)).content.decode()
    assert "Stopping…" in texts(page, "span") and 'id="stop"' not in page
    assert live(page, "progress")["hx-trigger"].startswith("every 1s"), "one sees the end as soon as it comes"


def test_an_ended_task_cannot_be_stopped(console, rule):
    task = make_task(rule)
    assert 'id="stop"' not in console.get(url_of(task)).content.decode()
    answer = console.post(f"{url_of(task)}stop/", follow=True)
    assert f"Task {task.pk} has ended already." in texts(answer.content.decode(), "p")
    task.refresh_from_db()
    assert task.status == Status.SUCCEEDED


def test_the_page_of_a_task_with_many_repositories_costs_few_queries(console, rule, django_assert_max_num_queries):
    task = make_task(rule, "synchronizing", started_at=timezone.now())
    TaskRepository.objects.bulk_create(TaskRepository(task=task, name=f"r{number}", copied=1) for number in range(60))
    TaskResource.objects.bulk_create(
        TaskResource(repository=repository, tag="1", outcome="copied") for repository in task.repositories.all()
    )
    console.get("/help/")  # what all pages show of workers and pools is looked up once in ten seconds
    with django_assert_max_num_queries(12):
        assert console.get(url_of(task)).status_code == 200
