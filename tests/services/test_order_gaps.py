"""What nobody told of, or told in half, and what was not written down: it all comes to rest in order."""

from datetime import timedelta

import pytest
from django.utils import timezone

from demo.artifacts import fallback_tag
from sync.models import Status, SyncTask, TagOrigin, TaskPart
from sync.replication.consent import Answer, Question
from sync.services import claims, writing
from sync.services.configure import save_instance
from sync.services.dispatch import dispatch
from sync.services.execute import run_slice
from sync.services.order import Umpire
from sync.services.trigger import stop_task
from tests.replication.support import push, sign, some_image
from tests.services.pushing import held, push_there, retag, scheduled, settle, tell
from tests.services.support import make_instance, make_rule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "no_queue")]


@pytest.mark.usefixtures("ring")
def test_a_tag_that_moves_back_while_nobody_listens_is_the_newest(ring, guangzhou, frankfurt, web):
    first = push_there(guangzhou, web, "v1")
    settle()
    push_there(guangzhou, web, "v1")
    settle()
    retag(guangzhou, web, first, "v1")
    assert scheduled(ring[1]).superseded == 1
    assert scheduled(ring[0]).copied == 1
    settle()
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == first


@pytest.mark.usefixtures("ring")
def test_pushes_that_are_told_without_a_digest_have_their_place(guangzhou, frankfurt, web):
    def pushed_back(digest):
        retag(guangzhou, web, digest, "v1")
        tell(guangzhou, web, "v1")
        settle()

    digests = []
    for _ in range(2):
        digests.append(push(guangzhou.url, web, "v1", some_image()).digest)
        tell(guangzhou, web, "v1")
        settle()
        tell(frankfurt, web, "v1")  # its echo says no more
        settle()
        assert held(frankfurt, web, "v1") == digests[-1]
    pushed_back(digests[0])
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == digests[0]
    push(guangzhou.url, web, "v1", some_image())
    tell(guangzhou, web, "v1")
    newer = push_there(frankfurt, web, "v1")
    settle()
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == newer


@pytest.fixture
def chain(guangzhou, frankfurt, namespace):
    """Through frankfurt on to another namespace there; what is pushed arrives as further/web."""
    make_rule(guangzhou, frankfurt, name="leg-1", source_namespace=namespace, target_namespace=f"{namespace}/b")
    further = make_instance("further", frankfurt.url)
    make_rule(frankfurt, further, name="leg-2", source_namespace=f"{namespace}/b", target_namespace=f"{namespace}-c")
    return further


def test_a_chain_goes_on_when_the_worker_died_before_it_wrote_down_what_it_copied(
    chain, guangzhou, frankfurt, namespace, web, monkeypatch
):
    digest = push_there(guangzhou, web, "v1")
    dispatch()
    task, write = SyncTask.objects.get(), writing.write

    def dies(task, token, sheets, ended):
        if any(sheet.resources for sheet in sheets):
            raise KeyboardInterrupt
        return write(task, token, sheets, ended)

    monkeypatch.setattr("sync.services.record.writing.write", dies)
    with pytest.raises(KeyboardInterrupt):
        run_slice(task, seconds=float("inf"), patient=True)
    monkeypatch.setattr("sync.services.record.writing.write", write)
    TaskPart.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    claims.take_back()
    tell(frankfurt, f"{namespace}/b/web", "v1", digest)
    settle()
    assert held(chain, f"{namespace}-c/web", "v1") == digest


def test_what_a_person_brings_of_what_a_task_was_about_to_goes_on(chain, guangzhou, frankfurt, namespace, web):
    image = some_image()
    digest = push(guangzhou.url, web, "v1", image).digest
    tell(guangzhou, web, "v1", digest)
    dispatch()
    task = SyncTask.objects.get()
    granted = Umpire(task, "gone").answer([Question(web, f"{namespace}/b/web", "v1", digest, "")])
    assert granted == [Answer.GRANTED]
    stop_task(task)
    push(frankfurt.url, f"{namespace}/b/web", "v1", image)
    tell(frankfurt, f"{namespace}/b/web", "v1", digest)
    settle()
    assert held(chain, f"{namespace}-c/web", "v1") == digest


def test_a_signature_that_comes_later_follows_the_chain(chain, guangzhou, frankfurt, namespace, web):
    image = push(guangzhou.url, web, "v1", some_image())
    tell(guangzhou, web, "v1", image.digest)
    settle()
    sign(guangzhou.url, web, image)
    tag = fallback_tag(image)
    tell(guangzhou, web, tag, held(guangzhou, web, tag))
    settle()
    assert held(chain, f"{namespace}-c/web", tag)


@pytest.mark.usefixtures("ring")
def test_the_newest_signature_stays(guangzhou, frankfurt, web):
    image = push(guangzhou.url, web, "v1", some_image())
    tell(guangzhou, web, "v1", image.digest)
    settle()
    tag = f"{fallback_tag(image)}.sig"
    push_there(frankfurt, web, tag)
    newest = push_there(guangzhou, web, tag)
    dispatch()
    for task in SyncTask.objects.filter(status=Status.WAITING).order_by("-pk"):
        run_slice(task, seconds=float("inf"), patient=True)
    settle()
    assert held(guangzhou, web, tag) == held(frankfurt, web, tag) == newest


def test_another_registry_under_an_instance_starts_with_a_clean_slate(rule, guangzhou):
    for url in (guangzhou.url, "http://127.0.0.1:1"):
        TagOrigin.objects.create(instance=guangzhou, repository="a/b", tag="v1", digest=url)
        guangzhou.url = url
        save_instance(guangzhou, None)
    assert not TagOrigin.objects.exists()
