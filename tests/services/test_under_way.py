"""What is being copied is written down while it is, with its bytes; and how often a resource was tried."""

import pytest

from demo import artifacts
from sync.models import SyncTask, TaskPart, TaskResource
from sync.services import claims, progress
from tests.fakes.registry import Answer
from tests.replication.support import push, some_layer
from tests.services.support import claim_one, make_due, open_here, reached_at, task_with_rows, work
from tests.support import Relay, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]
SIZE = 2_000_000


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)
    monkeypatch.setattr("sync.replication.run.TICK_SECONDS", 0.01)


def test_what_is_under_way_is_told_with_its_bytes_and_gone_when_it_is_done(rule, namespace, source, target):
    """One layer is sent, the other is held back: its bytes are still to come."""
    sent, held = some_layer(SIZE), some_layer(SIZE)
    image = push(source, f"{namespace}/web", "v1", artifacts.image([sent, held]))
    size = sum(len(blob.data) for blob in image.blobs)
    told: list[list[progress.Moving]] = []
    with Relay(source) as relay:

        def hold(request):
            wait_until(lambda: any(one.sent >= SIZE for seen in told for one in seen), 20, "the other layer being told")
            return relay.forward(request)

        relay.script("GET", f"/v2/{namespace}/web/blobs/{held.digest}", hold)
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        work(task, watch=lambda now: told.append(progress.under_way(now)))
    assert task.copied == 1
    halfway = [one for seen in told for one in seen if one.sent >= SIZE]
    assert {(one.tag, one.repository_id) for one in halfway} == {("v1", task.repositories.get().pk)}
    assert {(one.sent <= size - len(held.data), one.size) for one in halfway[:1]} == {(True, size)}
    assert told[-1] == []


def test_layers_that_the_target_has_are_not_expected(rule, namespace, source, target):
    """Of two tags with the same layers one sends them; the other one is said to send nothing."""
    layer = some_layer(SIZE)
    told: list[int] = []
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, artifacts.image([layer]))
    task = open_here(rule)
    work(
        task,
        watch=lambda now: told.append(now.moved_bytes + sum(one.size - one.sent for one in progress.under_way(now))),
    )
    assert (task.copied, max(told) < 1.5 * SIZE) == (2, True)


def test_whoever_claims_a_part_begins_with_nothing(rule):
    task = task_with_rows(rule, "prod/web", tags=["v1"])
    TaskPart.objects.update(under_way={"v1": [1, 2]})
    assert progress.under_way(task) == [], "what nobody holds is not under way"
    assert claim_one(task, "mine") is not None
    assert progress.under_way(task) == []
    claims.give_back("mine")


def test_attempts_are_counted_to_the_last(rule, namespace, source, target):
    for tag in ("bad", "good", "late"):
        push(source, f"{namespace}/web", tag, artifacts.image([some_layer()]))
    with Relay(target) as relay:
        for tag in ("bad", "late"):
            relay.script("PUT", f"/v2/{namespace}/web/manifests/{tag}", Answer(500))
        reached_at(rule.target, relay.url)
        task = open_here(rule)
        work(task)
        relay.script("PUT", f"/v2/{namespace}/web/manifests/late", relay.forward)
        while SyncTask.objects.get(pk=task.pk).is_open:
            make_due(task)
            work(task)
    assert dict(TaskResource.objects.values_list("tag", "attempts")) == {"good": 1, "late": 2, "bad": 4}
