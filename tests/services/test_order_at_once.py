"""Pushes of one tag on both sides of a ring while several workers work: both sides end with the same."""

import random
from functools import partial
from threading import Event

import pytest

from sync.models import OPEN, Instance, Notification, SyncTask, TagLock
from sync.services.dispatch import dispatch
from sync.services.execute import run_slice
from tests.services.pushing import held, push_there, settle
from tests.services.support import in_threads, make_instance, make_rule

ROUNDS = 3


@pytest.mark.usefixtures("threads_database", "no_queue", "quick_backoff")
def test_pushes_on_both_sides_at_once_end_with_the_same_digest(source, target, namespace):
    (sides,) = in_threads([partial(_ring, source, target, namespace)])
    chance = random.Random(6)
    for number in range(ROUNDS):
        over = Event()
        pushes = [partial(_push, side, f"{namespace}/web", chance.random() / 5, over) for side in sides]
        (before,) = in_threads([SyncTask.objects.count])
        in_threads([partial(_work, over), partial(_work, over), *pushes])
        (rest,) = in_threads([settle])
        digests = {held(side, f"{namespace}/web", "v1") for side in sides}
        assert len(digests) == 1, f"round {number}"
        assert rest - before <= 6
    (left,) = in_threads([_left])
    assert left == (0, 0)


def _ring(source: str, target: str, namespace: str) -> list[Instance]:
    a, b = make_instance("a", source), make_instance("b", target)
    make_rule(a, b, name="there", source_namespace=namespace, overwrite=True)
    make_rule(b, a, name="back", source_namespace=namespace, overwrite=True)
    return [a, b]


def _push(side: Instance, repository: str, after: float, over: Event) -> None:
    Event().wait(after)
    push_there(side, repository, "v1")
    over.wait(0.3)
    over.set()


def _work(over: Event) -> None:
    while not over.is_set():
        dispatch()
        for task in SyncTask.objects.filter(status__in=OPEN):
            run_slice(task, patient=True)
        over.wait(0.02)


def _left() -> tuple[int, int]:
    return Notification.objects.filter(handled_at=None).count(), TagLock.objects.count()
