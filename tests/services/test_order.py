"""Rules that write where others write, or push: circles end, the newest push stays, one writer of a tag at a time."""

from datetime import timedelta
from itertools import pairwise

import pytest

from sync.models import Notification, Status, SyncTask, TagLock, TagOrigin
from sync.replication.consent import Answer, Question
from sync.services import claims
from sync.services.dispatch import dispatch
from sync.services.execute import run_slice
from sync.services.order import Umpire, forget_abandoned_locks, is_contested
from tests.replication.support import push, some_image
from tests.services.pushing import held, push_there, retag, scheduled, settle, tell
from tests.services.support import claim_one, make_instance, make_rule, run, task_with_rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "no_queue")]


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("told", [False, True])
def test_a_push_into_a_ring_arrives_and_comes_to_rest(guangzhou, frankfurt, web, told):
    digest = push_there(guangzhou, web, "v1")
    settle()
    if told:
        tell(frankfurt, web, "v1", digest)
    assert settle() == 1
    assert held(frankfurt, web, "v1") == digest
    assert Notification.objects.filter(echo=True).count() == told


@pytest.mark.usefixtures("ring")
def test_pushes_in_turn_on_both_sides_travel_both_ways(guangzhou, frankfurt, web):
    for number, (here, there) in enumerate([(guangzhou, frankfurt), (frankfurt, guangzhou)] * 2, 1):
        digest = push_there(here, web, "v1")
        settle()
        tell(there, web, "v1", digest)
        assert settle() == number
        assert held(there, web, "v1") == held(here, web, "v1") == digest


@pytest.mark.usefixtures("ring")
def test_what_was_pushed_again_is_the_newest_again(guangzhou, frankfurt, web):
    older = push_there(guangzhou, web, "v1")
    settle()
    push_there(guangzhou, web, "v1")
    settle()
    retag(frankfurt, web, older, "v1")
    tell(frankfurt, web, "v1", older)
    settle()
    # Its own echo of the first copy was outstanding: that came to frankfurt before.
    tell(frankfurt, web, "v1", older)
    settle()
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == older


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_pushes_at_the_same_moment_the_one_that_was_told_last_stays(guangzhou, frankfurt, web, first):
    push_there(guangzhou, web, "v1")
    last = push_there(frankfurt, web, "v1")
    dispatch()
    tasks = list(SyncTask.objects.order_by("pk"))
    for task in tasks if first == 0 else reversed(tasks):
        run_slice(task, seconds=float("inf"))
    settle()
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == last
    assert SyncTask.objects.count() <= 4


def test_a_newer_push_in_the_target_is_left_alone_by_automatic_tasks(ring, guangzhou, frankfurt, web):
    push_there(guangzhou, web, "v1")
    newer = push_there(frankfurt, web, "v1")
    dispatch()
    task = ring[0].tasks.get()
    run_slice(task, seconds=float("inf"))
    task.refresh_from_db()
    assert (task.status, task.superseded, task.copied, task.success_percent) == (Status.SUCCEEDED, 1, 0, 0)
    row = task.repositories.get().resources.get()
    assert (row.outcome, row.target_digest) == ("superseded", newer)
    assert held(frankfurt, web, "v1") == newer


def test_a_manual_sync_does_what_its_rule_says(ring, guangzhou, frankfurt, web):
    older = push_there(guangzhou, web, "v1")
    push_there(frankfurt, web, "v1")
    dispatch()
    assert run(ring[0]).copied == 1
    assert held(frankfurt, web, "v1") == older


def test_a_push_that_nobody_told_of_is_not_overwritten_by_what_came_before_it(ring, guangzhou, frankfurt, web):
    push_there(guangzhou, web, "v1")
    settle()
    missed = push(guangzhou.url, web, "v1", some_image()).digest
    assert scheduled(ring[1]).superseded == 1
    assert held(guangzhou, web, "v1") == missed
    assert scheduled(ring[0]).copied == 1
    assert held(frankfurt, web, "v1") == missed
    assert scheduled(ring[1]).unchanged == 1


def test_what_nobody_carries_on_from_the_target_is_overwritten(guangzhou, frankfurt, namespace, web):
    make_rule(guangzhou, frankfurt, source_namespace=namespace, overwrite=True)
    make_rule(frankfurt, guangzhou, name="elsewhere", source_namespace="other", overwrite=True)
    push_there(guangzhou, web, "v1")
    settle()
    push(frankfurt.url, web, "v1", some_image())
    digest = push_there(guangzhou, web, "v1")
    settle()
    assert held(frankfurt, web, "v1") == digest


@pytest.mark.usefixtures("ring")
def test_an_echo_that_comes_before_the_copy_is_written_down_is_an_echo(guangzhou, frankfurt, web):
    digest = push_there(guangzhou, web, "v1")
    dispatch()
    told: list[Notification] = []

    def watch(task):
        if not told and held(frankfurt, web, "v1") == digest:
            told.append(tell(frankfurt, web, "v1", digest))
            dispatch()

    run_slice(SyncTask.objects.get(), seconds=float("inf"), watch=watch)
    settle()
    told[0].refresh_from_db()
    assert told[0].echo
    assert SyncTask.objects.count() == 1


@pytest.mark.usefixtures("ring")
def test_a_late_echo_does_not_make_what_is_gone_the_newest(guangzhou, frankfurt, web):
    first = push_there(guangzhou, web, "v1")
    settle()
    second = push_there(guangzhou, web, "v1")
    settle()
    TagOrigin.objects.update(echoed=True)  # all that was awaited came, or is awaited no longer
    tell(frankfurt, web, "v1", first)
    third = push_there(guangzhou, web, "v1")
    settle()
    assert second != third
    assert held(guangzhou, web, "v1") == held(frankfurt, web, "v1") == third


def test_a_chain_is_followed_whether_or_not_the_one_in_the_middle_tells(guangzhou, frankfurt, namespace):
    names = [f"{namespace}-{letter}" for letter in "abcd"]
    for number, (here, there) in enumerate(pairwise(names)):
        sides = (guangzhou, frankfurt) if number % 2 == 0 else (frankfurt, guangzhou)
        make_rule(*sides, name=f"leg-{number}", source_namespace=here, target_namespace=there)
    digest = push_there(guangzhou, f"{names[0]}/web", "v1")
    settle()
    tell(frankfurt, f"{names[1]}/web", "v1", digest)
    assert settle() == 3
    assert held(frankfurt, f"{names[3]}/web", "v1") == digest


def test_a_ring_of_three_comes_to_rest(guangzhou, frankfurt, namespace):
    names = [f"{namespace}-{letter}" for letter in "abca"]
    sides = [(guangzhou, frankfurt), (frankfurt, guangzhou), (guangzhou, guangzhou)]
    for number, (here, there) in enumerate(pairwise(names)):
        make_rule(*sides[number], name=f"leg-{number}", source_namespace=here, target_namespace=there, overwrite=True)
    places = [(guangzhou, names[0]), (frankfurt, names[1]), (guangzhou, names[2])]
    for number in range(3):
        instance, name = places[number]
        digest = push_there(instance, f"{name}/web", "v1")
        assert settle() == 2 * (number + 1)
        assert {held(where, f"{one}/web", "v1") for where, one in places} == {digest}


def test_two_rules_into_one_tag_leave_the_newest_push(guangzhou, frankfurt, namespace):
    for name in ("a", "b"):
        make_rule(
            guangzhou,
            frankfurt,
            name=name,
            source_namespace=f"{namespace}-{name}",
            target_namespace=namespace,
            overwrite=True,
        )
    push_there(guangzhou, f"{namespace}-a/web", "v1")
    last = push_there(guangzhou, f"{namespace}-b/web", "v1")
    dispatch()
    for task in SyncTask.objects.order_by("-pk"):  # the newer one first
        run_slice(task, seconds=float("inf"))
    assert held(frankfurt, f"{namespace}/web", "v1") == last
    assert sum(task.superseded for task in SyncTask.objects.all()) == 1


def test_one_rule_alone_asks_nobody(rule, guangzhou, frankfurt, namespace):
    push_there(guangzhou, f"{namespace}/web", "v1")
    settle()
    assert not is_contested(SyncTask.objects.get())
    assert not TagOrigin.objects.filter(instance=frankfurt).exists()


@pytest.fixture
def question(web):
    return Question(web, web, "v1", f"sha256:{'1' * 64}", "")


@pytest.fixture
def umpires(ring, web):
    """Of two workers that both hold a part of the task."""
    task = task_with_rows(ring[0], web, f"{web}-2", tags=["v1"])
    for token in ("first", "second"):
        claim_one(task, token)
    return [Umpire(task, token) for token in ("first", "second")]


def test_a_tag_has_one_writer_at_a_time(umpires, web, question):
    first, second = umpires
    assert first.answer([question]) == [Answer.GRANTED]
    assert first.answer([question]) == [Answer.GRANTED]
    assert second.answer([question]) == [Answer.BUSY]
    first.done(web, "v1")
    first.release()
    assert second.answer([question]) == [Answer.GRANTED]


def test_the_lock_of_a_worker_that_is_gone_is_taken(umpires, question):
    umpires[0].answer([question])
    claims.give_back("first")
    assert umpires[1].answer([question]) == [Answer.GRANTED]
    assert TagLock.objects.get().claim == "second"


def test_abandoned_locks_are_forgotten(umpires, question):
    umpires[0].answer([question])
    forget_abandoned_locks()
    assert TagLock.objects.exists()
    TagLock.objects.update(claim="gone")
    forget_abandoned_locks()
    assert not TagLock.objects.exists()


def test_echoes_are_awaited_for_an_hour(ring, guangzhou, frankfurt, web):
    first = push_there(guangzhou, web, "v1")
    settle()
    push_there(guangzhou, web, "v1")
    settle()
    for row in TagOrigin.objects.all():
        TagOrigin.objects.filter(pk=row.pk).update(at=row.at - timedelta(hours=1, seconds=1))
    retag(frankfurt, web, first, "v1")
    tell(frankfurt, web, "v1", first)
    settle()
    assert held(guangzhou, web, "v1") == first


def test_a_registry_that_tells_of_pushes_makes_its_tags_contested(guangzhou, frankfurt, namespace, web):
    make_rule(guangzhou, frankfurt, source_namespace=namespace, overwrite=True)
    type(frankfurt).objects.filter(pk=frankfurt.pk).update(hook_secret_hash="x")
    push_there(guangzhou, web, "v1")
    theirs = push_there(frankfurt, web, "v1")
    settle()
    assert held(frankfurt, web, "v1") == theirs


def test_a_target_that_is_away_is_waited_for_by_one_task(guangzhou, namespace):
    gone = make_instance("gone", "http://127.0.0.1:9")
    rule = make_rule(guangzhou, gone, source_namespace=namespace)
    for number in range(5):
        push_there(guangzhou, f"{namespace}/web", f"v{number}")
        dispatch()
        for task in rule.tasks.all():
            run_slice(task, patient=True)
    task = rule.tasks.get()
    assert task.is_open
    assert len(task.selection) == 5
