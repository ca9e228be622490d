"""Retry failed, and what is shown of tasks and instances while an instance is away."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from sync.models import Instance, Status, SyncRule, SyncTask, Trigger
from sync.services import trigger
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, live, make_repository, make_task, url_of

SINCE = datetime(2126, 5, 4, 3, 2, 1, tzinfo=UTC)
REASON = "Target prod-eu: cannot reach the registry: the connection was refused."


@pytest.fixture
def failed(rule: SyncRule) -> SyncTask:
    task = make_task(rule, "partial", planned=3, copied=1, failed=2, all_planned=True, repository_count=1)
    repository = make_repository(task, "prod/web", "partial", planned=3, copied=1, failed=2, listed=True)
    for tag in ("1.0", "2.0"):
        repository.resources.create(tag=tag, outcome="failed", reason="refused")
    return task


@pytest.fixture
def away(rule: SyncRule) -> Instance:
    """The target of the rule does not answer."""
    rule.target.down_since, rule.target.down_reason = SINCE, REASON
    rule.target.next_try_at = SINCE + timedelta(minutes=3)
    rule.target.save()
    return rule.target


def messages_of(answer) -> list[str]:
    return [
        words(part) for part in elements(answer.content.decode(), "p") if "toast" in attributes(part).get("class", "")
    ]


def test_retry_failed_opens_a_task_over_what_failed_and_leads_to_it(console, failed):
    button = by_id(console.get(url_of(failed)).content.decode(), "retry")
    assert words(button) == "Retry failed (2)"
    answer = console.post(attributes(button)["formaction"], follow=True)
    task = failed.retries.get()
    assert answer.redirect_chain == [(url_of(task), 302)]
    assert (task.trigger, task.actor) == (Trigger.RETRY, "root")
    assert task.selection == [{"repository": "prod/web", "tag": tag} for tag in ("1.0", "2.0")]
    assert messages_of(answer) == [f"Task {task.pk} was started for what failed in task {failed.pk}."]


def test_retry_pressed_twice_is_one_task(console, failed):
    url = reverse("task-retry", args=["prod-gz", failed.pk])
    first, second = console.post(url), console.post(url, follow=True)
    assert first.headers["Location"] == second.redirect_chain[0][0]
    assert messages_of(second)[-1].startswith(f"Task {failed.retries.get().pk} was open already for what failed")


def test_a_retry_and_what_it_retries_lead_to_each_other(console, failed):
    retry = trigger.retry_failed(failed, enqueue=False).task
    for one, other, said in (
        (retry, failed, f"Retry of Task {failed.pk} 2 resources"),
        (failed, retry, f"Task {retry.pk} Waiting"),
    ):
        page = console.get(url_of(one)).content.decode()
        assert said in texts(page, "dd")
        assert url_of(other) in [attributes(link)["href"] for link in elements(page, "a")]
    logs = console.get("/i/prod-gz/rules/web/").content.decode()
    assert f"Retry of {failed.pk} 2 resources" in texts(logs, "td")


def test_a_task_whose_source_could_not_be_listed_offers_retry(console, rule):
    task = make_task(rule, "failed", reason="Source prod-gz: cannot list the repositories.")
    button = by_id(console.get(url_of(task)).content.decode(), "retry")
    assert words(button) == "Retry"
    console.post(attributes(button)["formaction"])
    assert task.retries.get().selection == []


@pytest.mark.parametrize("status", ["synchronizing", "succeeded", "stopped"])
def test_nothing_to_retry_is_not_offered_and_refused_with_a_sentence(console, rule, status):
    task = make_task(rule, status, repository_count=1, started_at=timezone.now())
    assert 'id="retry"' not in console.get(url_of(task)).content.decode()
    answer = console.post(f"{url_of(task)}retry/", follow=True)
    assert answer.redirect_chain == [(url_of(task), 302)]
    expected = "This task has not ended yet" if status == "synchronizing" else "Nothing failed in this task."
    assert messages_of(answer)[0].startswith(expected)
    assert not task.retries.exists()


def test_without_its_rule_a_task_is_not_retried(console, failed):
    SyncRule.objects.all().delete()
    page = console.get(url_of(failed)).content.decode()
    assert 'id="retry"' not in page
    assert messages_of(console.post(f"{url_of(failed)}retry/", follow=True)) == ["The rule of this task was deleted."]


def test_a_rule_deleted_at_the_same_instant_is_told_by_sync_and_retry(console, failed, monkeypatch):
    """Between the look-up of the view and the lock of the service."""
    open_task = trigger.open_task

    def too_late(rule, *args, **options):
        SyncRule.objects.filter(pk=rule.pk).delete()
        return open_task(rule, *args, **options)

    monkeypatch.setattr(trigger, "open_task", too_late)
    answer = console.post(f"{url_of(failed)}retry/", follow=True)
    assert messages_of(answer) == ["The rule of this task was deleted."]
    answer = console.post("/i/prod-gz/rules/web/sync/", follow=True)
    assert answer.redirect_chain == [("/i/prod-gz/rules/", 302)]
    assert messages_of(answer) == ["Rule web was deleted a moment ago: nothing was started."]
    SyncRule.objects.create(name="web", source=failed.source, source_namespace="prod", target=failed.target)
    answer = console.post("/i/prod-gz/rules/web/sync/", headers=HTMX)
    assert answer.status_code == 200 and "refresh" in answer.headers["HX-Trigger"]
    assert "deleted a moment ago" in words(by_id(answer.content.decode(), "toasts"))


def times(html: str, name: str) -> dict[str, str]:
    """The points in time that a part of the page tells, by what they are."""
    part = by_id(html, name)
    named = zip(elements(str(part), "dt"), elements(str(part), "dd"), strict=True)
    return {words(term): attributes(next(elements(str(when), "time")))["datetime"] for term, when in named}


def test_a_task_tells_which_instance_it_waits_for(console, rule, away, settings):
    settings.OUTAGE_HOURS = 2
    task = make_task(rule, "synchronizing", started_at=SINCE, created_at=SINCE - timedelta(hours=5), reason=REASON)
    page = console.get(url_of(task)).content.decode()
    told = words(by_id(page, "wait"))
    assert told.startswith("Waiting for prod-eu (Frankfurt).") and REASON in told
    assert times(page, "wait") == {
        "Away since": "2126-05-04T03:02:01+00:00",
        "Next try": "2126-05-04T03:05:01+00:00",
        "Waits until": "2126-05-04T05:02:01+00:00",
    }
    assert 'id="stop"' in page
    assert page.count(REASON) == 1 + texts(page, "summary").count(REASON)


def test_a_younger_task_waits_its_full_time(console, rule, away, settings):
    settings.OUTAGE_HOURS = 2
    task = make_task(rule, "waiting", created_at=SINCE + timedelta(hours=1))
    assert times(console.get(url_of(task)).content.decode(), "wait")["Waits until"] == "2126-05-04T06:02:01+00:00"


@pytest.mark.parametrize("values", [{"status": "failed"}, {"status": "synchronizing", "stop_requested": True}])
def test_a_task_that_has_ended_or_stops_waits_for_nothing(console, rule, away, values):
    task = make_task(rule, **values)
    assert 'id="wait"' not in console.get(url_of(task)).content.decode()


def test_when_the_instance_answers_the_notice_goes_by_itself(console, rule, away):
    task = make_task(rule, "synchronizing", started_at=timezone.now())
    poll = live(console.get(url_of(task)).content.decode(), "progress")["hx-get"]
    assert console.get(poll, headers=HTMX).status_code == 204
    Instance.objects.update(down_since=None, next_try_at=None, down_reason="")
    answer = console.get(poll, headers=HTMX)
    assert answer.status_code == 200 and 'id="wait"' not in answer.content.decode()


def test_a_list_of_the_source_that_was_put_off_is_waited_for(console, rule):
    task = make_task(rule, "synchronizing", started_at=SINCE, reason="Source prod-gz: cannot list.")
    later = timezone.now() + timedelta(minutes=1)
    task.parts.create(put_off_since=SINCE, not_before=later)
    page = console.get(url_of(task)).content.decode()
    assert words(by_id(page, "wait")).startswith("Waiting for prod-gz. It goes on by itself. Source prod-gz: cannot")
    assert times(page, "wait") == {
        "Since": "2126-05-04T03:02:01+00:00",
        "Next try": later.isoformat(timespec="seconds"),
    }


def test_a_repository_that_waits_after_a_failure_tells_why_and_when_it_is_tried_again(console, rule):
    task = make_task(rule, "synchronizing", started_at=SINCE, repository_count=3, planned=3)
    running = make_repository(task, "prod/a", "synchronizing", planned=1, listed=True)
    task.parts.create(repository=running, claim="a-worker")
    make_repository(task, "prod/b", "waiting")
    put_off = make_repository(
        task, "prod/c", "waiting", reason="1.0: the target is busy.", next_try_at=SINCE + timedelta(minutes=3)
    )
    url = url_of(task)
    page = console.get(url).content.decode()
    rows = [words(row) for row in elements(page, "tr") if words(row).startswith("prod/")]
    assert [row.split()[0] for row in rows] == ["prod/c", "prod/a", "prod/b"], "what needs attention comes first"
    assert rows[0].endswith("Waiting") and 'id="wait"' not in page, "others go on"
    said = "Next try 2126-05-04 03:05:01 UTC"
    assert [words(row) for row in elements(page, "tr") if said in words(row)] == [f"1.0: the target is busy. {said}"]
    page = console.get(f"{url}repositories/{put_off.pk}/").content.decode()
    assert said in texts(page, "p") and "1.0: the target is busy." in texts(page, "p")


def test_when_everything_left_was_put_off_the_task_says_so(console, rule):
    task = make_task(rule, "synchronizing", started_at=SINCE, repository_count=1)
    later = timezone.now() + timedelta(minutes=1)
    repository = make_repository(task, "prod/c", "waiting", reason="Busy.", next_try_at=later)
    task.parts.create(repository=repository, not_before=later)
    page = console.get(url_of(task)).content.decode()
    assert words(by_id(page, "wait")).startswith("Waiting for prod/c. It goes on by itself. Busy.")


def test_an_instance_that_is_away_is_marked_wherever_it_is_named(console, rule, away):
    Instance.objects.update(healthy=True)
    page = console.get("/instances/").content.decode()
    row = next(words(row) for row in elements(page, "tr") if words(row).startswith("prod-eu"))
    for said in ("Away since 2126-05-04 03:02:01 UTC", REASON, "Next try 2126-05-04 03:05:01 UTC"):
        assert said in row
    assert sum("Away" in words(row) for row in elements(page, "tr")) == 1
    rules = console.get("/i/prod-gz/rules/").content.decode()
    assert any(text.startswith("prod-eu (Frankfurt) Away") for text in texts(rules, "td"))
    choices = {words(link) for link in elements(rules, "a") if "127.0.0.1:1" in words(link)}
    assert choices == {"prod-gz (ap-guangzhou) 127.0.0.1:1 Reachable", "prod-eu (Frankfurt) 127.0.0.1:1 Away"}
    current = texts(console.get("/i/prod-eu/rules/").content.decode(), "summary")
    assert "Instance Name: prod-eu (Frankfurt) Away" in current


def test_the_snapshot_tells_how_many_workers(console, rule):
    task = make_task(rule, Status.SUCCEEDED, snapshot=rule.snapshot() | {"parallelism": 7})
    page = console.get(url_of(task)).content.decode()
    facts = dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))
    assert facts["Workers at once"] == "7"
