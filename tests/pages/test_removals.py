"""A task that asks whether to delete in the target, and the answers."""

from collections import Counter

import pytest

from sync.models import Delivery, Removal, Status
from tests.pages.html import attributes, by_id, elements, words
from tests.pages.test_tasks import make_repository, make_task


@pytest.fixture
def asking(rule):
    """A task that has nothing left but to ask about three tags."""
    rule.delete_removed = True
    rule.save()
    task = make_task(
        rule,
        Status.SYNCHRONIZING,
        snapshot=rule.snapshot() | {"delete_removed": True},
        repository_count=1,
        all_planned=True,
        reason="3 of 4 tags that the rule has brought would be deleted in the target: more than the 20 %.",
    )
    repository = make_repository(task, "prod/web", listed=True)
    for tag in ("v1", "v2", "v3"):
        same = {"tag": tag, "digest": f"sha256:{'1' * 64}"}
        Removal.objects.create(task=task, repository=repository, **same)
        Delivery.objects.create(rule=rule, target=rule.target, repository="prod/web", **same)
    return task


def test_a_task_that_would_delete_much_asks(console, asking):
    url = f"/i/prod-gz/tasks/{asking.pk}/"
    asked = by_id(console.get(url).content.decode(), "removals")
    assert "Waiting for your answer. 3 of 4 tags" in words(asked)
    assert "Delete 3 tags in prod-eu" in words(asked)
    assert "prod/web:v2" in words(asked)
    answered = console.post(f"{url}removals/", {"answer": "keep"}, follow=True).content.decode()
    assert "You said: keep them." in answered
    assert 'id="removals"' not in answered
    asking.refresh_from_db()
    assert (asking.status, asking.removals_allowed) == (Status.SUCCEEDED, False)
    assert (
        "asks nothing any more" in console.post(f"{url}removals/", {"answer": "delete"}, follow=True).content.decode()
    )


def test_yes_makes_work_of_it(console, asking, monkeypatch):
    monkeypatch.setattr("sync.queue.queued_tasks", Counter)
    enqueued: list[object] = []
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: enqueued.append(job))
    console.post(f"/i/prod-gz/tasks/{asking.pk}/removals/", {"answer": "delete"})
    part = asking.parts.get()
    assert (part.removing, part.tags) == (True, ["v1", "v2", "v3"])
    assert enqueued


def test_an_answer_that_says_nothing_changes_nothing(console, asking):
    shown = console.post(f"/i/prod-gz/tasks/{asking.pk}/removals/", {"answer": "maybe"}, follow=True)
    assert "nothing was done" in shown.content.decode()
    asking.refresh_from_db()
    assert asking.removals_allowed is None


def test_the_list_of_rules_says_that_it_asks_and_lets_one_sync_meanwhile(console, rule, asking):
    page = console.get("/i/prod-gz/rules/").content.decode()
    (link,) = (one for one in elements(page, "a") if words(one) == "asks about deletions")
    assert attributes(link)["href"] == f"/i/prod-gz/tasks/{asking.pk}/#removals"
    assert words(by_id(page, f"sync-{rule.pk}")) == "Sync" and not list(elements(page, "progress"))
    asking.removals.all().delete()
    page = console.get("/i/prod-gz/rules/").content.decode()
    assert words(by_id(page, f"sync-{rule.pk}")) == "View run" and "asks about deletions" not in page
