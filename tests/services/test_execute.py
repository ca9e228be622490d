"""A task from its start to its end: statuses, numbers, what is written down."""

import pytest
import requests

from sync.models import Delivery, Status, SyncTask, TaskResource
from sync.services.execute import run_slice
from tcrconsole.secrets import make_credential_key
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, some_image
from tests.services.support import assert_sums_agree, leave_in_the_midst, open_here, reached_at, run, task_with_rows
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def push_broken(url, repository, tag):
    image = push(url, repository, tag, some_image())
    assert requests.delete(f"{url}/v2/{repository}/blobs/{image.blobs[-1].digest}", timeout=10).ok
    return image


@pytest.mark.parametrize(
    ("good", "broken", "differing", "status", "percent"),
    [
        (2, 0, 0, Status.SUCCEEDED, 100),
        (2, 1, 0, Status.PARTIAL, 66),
        (0, 2, 0, Status.FAILED, 0),
        (1, 0, 1, Status.SUCCEEDED, 50),
        (0, 0, 1, Status.SUCCEEDED, 0),
        (0, 0, 0, Status.SUCCEEDED, None),
    ],
)
def test_the_status_and_the_numbers_of_a_task(
    good, broken, differing, status, percent, rule, namespace, source, target
):
    for number in range(good):
        push(source, f"{namespace}/good", f"v{number}", some_image())
    for number in range(broken):
        push_broken(source, f"{namespace}/broken", f"v{number}")
    for number in range(differing):
        push(source, f"{namespace}/differs", f"v{number}", some_image())
        push(target, f"{namespace}/differs", f"v{number}", some_image())
    task = run(rule)
    assert (task.status, task.success_percent) == (status, percent)
    assert (task.planned, task.copied, task.failed, task.conflict) == (
        good + broken + differing,
        good,
        broken,
        differing,
    )
    assert task.repository_count == sum(map(bool, (good, broken, differing)))
    assert task.time_spent is not None
    assert task.time_spent.total_seconds() > 0


def test_a_failure_tells_all_that_is_known(rule, namespace, source):
    image = push_broken(source, f"{namespace}/web", "v1")
    task = run(rule)
    (resource,) = TaskResource.objects.filter(repository__task=task)
    assert (resource.tag, resource.outcome, resource.digest) == ("v1", "failed", image.digest)
    assert (resource.side, resource.http_status, resource.code) == ("source", 404, "BLOB_UNKNOWN")
    assert resource.operation == f"read blob {namespace}/web@{image.blobs[-1].digest}"
    assert "Source guangzhou" in resource.reason
    assert resource.hint
    assert not resource.retryable
    assert task.repositories.get().reason.startswith("Source guangzhou")


def test_a_row_keeps_the_size_of_what_was_copied(rule, namespace, source):
    image = push(source, f"{namespace}/web", "v1", some_image())
    (resource,) = TaskResource.objects.filter(repository__task=run(rule))
    assert resource.size == resource.moved_bytes == sum(len(blob.data) for blob in image.blobs)


def test_a_conflict_keeps_both_digests(rule, namespace, source, target):
    ours, theirs = (push(url, f"{namespace}/web", "v1", some_image()) for url in (source, target))
    (resource,) = TaskResource.objects.filter(repository__task=run(rule))
    assert (resource.outcome, resource.digest, resource.target_digest) == ("conflict", ours.digest, theirs.digest)


def test_a_second_run_writes_no_row_and_leaves_deliveries_as_they_are(rule, namespace, source):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    first = run(rule)
    deliveries = list(Delivery.objects.values())
    assert {(one["repository"], one["tag"]) for one in deliveries} == {
        (f"{namespace}/web", tag) for tag in ("v1", "v2")
    }
    second = run(rule)
    assert (second.status, second.unchanged, second.copied, second.success_percent) == (Status.SUCCEEDED, 2, 0, 100)
    assert (second.moved_bytes, first.moved_bytes > 0) == (0, True)
    assert not TaskResource.objects.filter(repository__task=second).exists()
    assert list(Delivery.objects.values()) == deliveries


def test_a_delivery_follows_the_digest(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    before = Delivery.objects.get()
    image = push(source, f"{namespace}/web", "v1", some_image())
    rule.overwrite = True
    rule.save()
    run(rule)
    after = Delivery.objects.get()
    assert (after.pk, after.digest) == (before.pk, image.digest)
    assert after.delivered_at > before.delivered_at


def test_a_late_signature_is_no_new_delivery(rule, namespace, source):
    image = push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    before = list(Delivery.objects.values())
    support.sign(source, f"{namespace}/web", image)
    assert run(rule).copied == 1
    assert list(Delivery.objects.values()) == before


def test_what_the_rule_does_not_ask_for_is_counted_apart(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    push(source, f"{namespace}/charts", "1.0.0", support.some_chart())
    rule.charts = False
    rule.save()
    task = run(rule)
    assert (task.planned, task.copied, task.repository_count) == (1, 1, 1)
    assert task.repositories.get(name=f"{namespace}/charts").left_out == 1


def test_a_chosen_tag_that_is_gone_is_noted(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    task = run(rule, selection=[(f"{namespace}/web", "v1"), (f"{namespace}/web", "gone")])
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 1, 1)
    assert task.repositories.get().vanished == 1


def test_a_repository_that_cannot_be_listed_is_never_a_hundred_percent(rule, namespace, source):
    for name in ("closed", "open"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        reached_at(rule.source, relay.url)
        task = run(rule)
    assert (task.status, task.copied, task.failed, task.success_percent) == (Status.PARTIAL, 1, 1, 50)


def test_a_source_that_lists_nothing_to_us_fails_the_task_with_the_next_step(rule, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(401))
        reached_at(rule.source, relay.url)
        task = run(rule)
    assert (task.status, task.repository_count, task.success_percent) == (Status.FAILED, None, None)
    assert "Source guangzhou: cannot list the repositories" in task.reason
    assert "name the repositories instead" in task.reason


def test_a_worker_that_leaves_keeps_what_it_wrote(rule, namespace, source, settings, monkeypatch):
    """Its claims go back uncounted, and who goes on asks about the rest only."""
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    settings.RESOURCES_AT_ONCE = 2
    images = [push(source, f"{namespace}/web", f"v{number}", some_image()) for number in range(20)]
    push_broken(source, f"{namespace}/web", "broken")
    task = open_here(rule)
    # They are listed as broken, v0, v1, v10 to v19, v2, and so on.
    assert leave_in_the_midst(task, source, f"{namespace}/web", *(f"v{number}" for number in range(3, 10)))
    row, part = task.repositories.get(), task.parts.get()
    assert (row.status, row.planned, row.failed) == (Status.WAITING, 21, 1)
    assert (part.claim, part.lost_owners) == ("", 0)
    done = set(row.resources.values_list("tag", flat=True))
    assert 3 < len(done) < 21
    left = set(part.tags or ())
    assert left == {"broken", *(f"v{number}" for number in range(20))} - done
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        assert run_slice(SyncTask.objects.get(pk=task.pk)) is False
        asked = {one.target.rpartition("/")[2] for one in relay.received("HEAD", f"/v2/{namespace}/web/manifests/")}
        assert asked == left
        assert relay.received("GET", f"/v2/{namespace}/web/tags/list") == []
    task.refresh_from_db()
    assert (task.status, task.planned, task.copied, task.unchanged, task.failed) == (Status.PARTIAL, 21, 20, 0, 1)
    assert TaskResource.objects.filter(repository__task=task).count() == 21
    assert task.moved_bytes >= sum(len(blob.data) for image in images for blob in image.blobs)
    assert_sums_agree(task)


@pytest.mark.timeout(20)
def test_a_worker_that_leaves_claims_nothing_more(rule, namespace, source, settings, monkeypatch):
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)
    settings.REPOSITORIES_AT_ONCE = 1
    for number in range(5):
        push(source, f"{namespace}/r{number}", "v1", some_image())
    task = open_here(rule)
    seen: list[int] = []
    assert run_slice(
        task, watch=lambda now: seen.append(now.copied), leaving=lambda: bool(seen and seen[-1]), seconds=60
    )
    assert task.parts.filter(heartbeat_at=None, repository__status=Status.WAITING).count() >= 3


def test_a_worker_that_leaves_while_the_source_is_listed_ends_nothing(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    task = open_here(rule)
    assert run_slice(task, leaving=lambda: True) is True
    assert task.is_open
    assert run_slice(task) is False
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)


def test_a_slice_ends_in_time_and_the_next_one_goes_on(rule, namespace, source, settings):
    settings.REPOSITORIES_AT_ONCE = 1
    for number in range(3):
        push(source, f"{namespace}/r{number}", "v1", some_image())
    task = open_here(rule)
    assert run_slice(task, seconds=0) is True
    assert (task.repository_count, task.copied) == (3, 0)
    assert run_slice(task, seconds=60) is False
    task.refresh_from_db()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 3)


def test_a_credential_that_is_lost_on_the_way_ends_the_task_with_its_sentence(rule, settings):
    task = task_with_rows(rule, "prod/web")
    rule.source.username, rule.source.password = "robot", "secret"
    rule.source.save()
    settings.CREDENTIAL_KEYS = [make_credential_key()]
    assert not run_slice(SyncTask.objects.get(pk=task.pk))
    task.refresh_from_db()
    assert task.status == Status.FAILED
    row = task.repositories.get()
    assert row.status == Status.FAILED
    assert "CREDENTIAL_KEYS" in row.reason
    assert (task.planned, task.failed) == (1, 1)
