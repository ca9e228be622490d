"""A repository with many tags is divided: pieces that any worker takes, each tag in one of them."""

from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from demo import artifacts
from sync.models import Status, SyncTask, TaskPart, TaskResource
from sync.services import claims
from sync.services.execute import run_slice
from sync.services.trigger import retry_failed
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import (
    assert_sums_agree,
    in_threads,
    make_instance,
    make_rule,
    open_here,
    reached_at,
    run,
    work,
)
from tests.support import Relay, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.fixture(autouse=True)
def _small_parts(settings, monkeypatch):
    settings.TAGS_PER_CLAIM = 3
    monkeypatch.setattr("sync.services.record.FLUSH_SECONDS", 0)


def push_tags(url, repository, count):
    return {f"v{number}": push(url, repository, f"v{number}", some_image()) for number in range(count)}


def waiting_sizes(task: SyncTask) -> list[int | None]:
    """How many tags each part of the task has that nobody holds."""
    parts = TaskPart.objects.filter(task=task, claim="").order_by("pk")
    return [None if part.tags is None else len(part.tags) for part in parts]


def to_the_end(task: SyncTask) -> list[list[int | None]]:
    """Works on the task until it has ended; what waited for others each time when others were asked to help."""
    seen: list[list[int | None]] = []
    while run_slice(task, spread=lambda: seen.append(waiting_sizes(task))):
        assert task.is_open
    return seen


def work_until(task: SyncTask, enough: Callable[[SyncTask], bool]) -> bool:
    """A slice of a worker that leaves as soon as `enough` says so of the task."""
    told = Event()

    def look(now: SyncTask) -> None:
        if enough(now):
            told.set()

    return work(task, watch=look, leaving=told.is_set)


def test_a_listed_repository_is_divided_and_all_of_it_arrives(rule, namespace, source, target, judge):
    images = push_tags(source, f"{namespace}/web", 10)
    task = open_here(rule)
    assert to_the_end(task) == [[None], [3, 3, 1]]
    assert (task.status, task.repository_count) == (Status.SUCCEEDED, 1)
    assert (task.planned, task.copied, task.done) == (10, 10, 10)
    assert_sums_agree(task)
    assert {tag: judge.digest(target, f"{namespace}/web:{tag}") for tag in images} == {
        tag: image.digest for tag, image in images.items()
    }


def test_what_fits_into_one_part_is_not_divided(rule, namespace, source):
    push_tags(source, f"{namespace}/web", 3)
    task = open_here(rule)
    assert to_the_end(task) == [[None]]
    assert task.copied == 3


def test_signatures_of_later_parts_come_along_and_the_source_is_listed_once(rule, namespace, source, target, judge):
    name = f"{namespace}/web"
    images = push_tags(source, name, 8)
    signatures = {
        tag: push(source, name, f"{image.digest.replace(':', '-')}.sig", artifacts.signature(image))
        for tag, image in images.items()
    }
    task = open_here(rule)
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        # Who comes later knows the signatures from the row: the first one leaves as soon as it has divided.
        assert work_until(task, lambda now: now.parts.exclude(tags=None).count() > 1)
        assert task.done < 8
        while work(task):
            assert_sums_agree(task)
        assert len(relay.received("GET", f"/v2/{name}/tags/list")) == 1
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 8, 8)
    for tag, signature in signatures.items():
        assert judge.digest(target, f"{name}:{images[tag].digest.replace(':', '-')}.sig") == signature.digest
    assert task.repositories.get().digest_tags == []


def came_further(before: int, now: SyncTask) -> bool:
    return now.done > before


def test_a_divided_repository_that_was_interrupted_has_right_sums_and_goes_on(rule, namespace, source, settings):
    settings.RESOURCES_AT_ONCE = 1
    push_tags(source, f"{namespace}/web", 10)
    push_tags(source, f"{namespace}/api", 4)
    task = open_here(rule)
    turns = 0
    while task.is_open:
        work_until(task, partial(came_further, task.done))
        assert_sums_agree(task)
        assert all(row.done <= row.planned for row in task.repositories.all())
        turns += 1
    assert turns > 3
    assert (task.status, task.planned, task.copied, task.unchanged) == (Status.SUCCEEDED, 14, 14, 0)
    assert TaskResource.objects.filter(repository__task=task).count() == 14


def test_a_retry_of_many_tags_of_one_repository_is_divided(rule, namespace, source, target):
    push_tags(source, f"{namespace}/web", 7)
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{namespace}/web/manifests/", Answer(403))
        reached_at(rule.target, relay.url)
        failed = run(rule)
    assert (failed.status, failed.failed) == (Status.FAILED, 7)
    reached_at(rule.target, target)
    task = retry_failed(failed, enqueue=False).task
    assert to_the_end(task) == [[7], [3, 1]]
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 7, 7)
    assert_sums_agree(task)


@pytest.mark.usefixtures("threads_database")
def test_two_workers_share_one_repository(source, target, namespace):
    images = push_tags(source, f"{namespace}/web", 10)

    def prepare() -> SyncTask:
        guangzhou, frankfurt = make_instance("guangzhou", source), make_instance("frankfurt", target)
        return open_here(make_rule(guangzhou, frankfurt, source_namespace=namespace))

    (task,) = in_threads([prepare])
    together: list[bool] = []

    def until_there_are_two(now: SyncTask) -> None:
        """Whoever is first waits with his part until another one has a part of the same repository."""
        if not together and TaskPart.objects.filter(task=now, tags__isnull=False).exists():
            wait_until(lambda: together or claims.owners(now) == 2, 20, "a second worker")
            together.append(True)

    def divided() -> bool:
        """By one look: between two, the part that lists the repository may come to wait, and would be taken for one."""
        sizes = waiting_sizes(task)
        return bool(sizes) and None not in sizes

    def second() -> None:
        wait_until(divided, 20, "the division")
        work(task, watch=until_there_are_two)

    def first() -> None:
        work(task, watch=until_there_are_two)

    in_threads([first, second])

    def check() -> None:
        now = SyncTask.objects.get(pk=task.pk)
        to_the_end(now)
        assert (now.status, now.planned, now.copied) == (Status.SUCCEEDED, 10, 10)
        assert_sums_agree(now)
        assert set(TaskResource.objects.values_list("tag", flat=True)) == set(images)

    assert together
    in_threads([check])
