"""Speed and time left: told when they are known, and not before."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import Instance, Status, SyncTask
from sync.services import progress
from sync.services.waiting import Wait
from sync.templatetags.console import roughly, spent
from tests.services.support import make_rule

MB = 1_000_000
pytestmark = pytest.mark.django_db


def task(seconds: float, **values) -> SyncTask:
    values = {"status": "synchronizing", "planned": 100, "copied": 25, "all_planned": True, **values}
    return SyncTask(started_at=timezone.now() - timedelta(seconds=seconds), **values)


def moves(*sizes: tuple[int, int], **values) -> SyncTask:
    """A task that has worked for 100 seconds, and of whose parts a worker holds one: (bytes sent, of bytes) each."""
    instance = Instance.objects.create(name=f"a{Instance.objects.count()}", url="http://a")
    rule = make_rule(instance, instance, source_namespace="prod")
    running = task(100, rule=rule, source=instance, target=instance, snapshot=rule.snapshot(), **values)
    running.save()
    repository = running.repositories.create(name="prod/web", target_name="prod/web")
    told = {f"v{number}": size for number, size in enumerate(sizes)}
    running.parts.create(repository=repository, claim="a-worker", under_way=told)
    running.parts.create(repository=repository, claim="", under_way={"old": [0, 999 * MB]})
    return running


def seconds_left(running: SyncTask) -> float | None:
    left = progress.estimate(running).time_left
    return None if left is None else round(left.total_seconds())


def test_time_left_goes_by_what_is_done():
    assert seconds_left(task(60)) == 180


@pytest.mark.parametrize(
    ("seconds", "values"),
    [
        (29, {}),
        (60, {"copied": 9}),
        (60, {"copied": 0, "planned": 0}),
        (60, {"all_planned": False}),
        (60, {"stop_requested": True}),
        (60, {"copied": 100}),
        (60, {"status": "succeeded", "finished_at": timezone.now()}),
        (60, {"waits_since": timezone.now()}),
        (60, {"waited": 31}),
    ],
    ids=["young", "little", "nothing", "not all", "stopping", "all", "ended", "waits", "little time at work"],
)
def test_no_estimate_while_too_little_is_known(seconds, values):
    assert seconds_left(task(seconds, **values)) is None


def test_none_while_a_side_is_away_or_all_that_is_left_is_put_off():
    waits = task(60)
    waits.wait = Wait("prod-eu", "refused", None, None)
    assert progress.estimate(waits) == progress.Estimate()


def test_the_time_in_which_a_side_was_away_does_not_count():
    """An hour away, a minute at work: what is left takes as long as if nothing had happened."""
    away = task(3660, waited=3600, moved_bytes=60 * MB)
    assert seconds_left(away) == 180
    assert progress.bytes_per_second(away) == pytest.approx(MB, rel=0.01)


def test_of_what_is_under_way_the_sizes_are_known():
    """The one large image of a task: nothing is done yet, and all is known."""
    running = moves((2_000 * MB, 8_000 * MB), planned=1, copied=0, moved_bytes=2_000 * MB)
    assert progress.estimate(running).total_bytes == 8_000 * MB
    assert seconds_left(running) == 300


def test_what_is_not_begun_is_taken_to_be_like_what_is_done():
    running = moves((30 * MB, 130 * MB), planned=20, copied=9, unchanged=1, moved_bytes=530 * MB)
    assert progress.estimate(running).total_bytes == (530 + 100 + 9 * 50) * MB
    young = moves((0, 10 * MB), planned=100, copied=9, moved_bytes=90 * MB)
    assert progress.estimate(young).total_bytes is None, "less than a tenth is done"


def test_bytes_tell_the_time_where_they_take_it():
    """A hundred small ones are done, a large one is left: it does not take a hundredth of the time."""
    running = moves((900 * MB, 4_500 * MB), planned=101, copied=100, moved_bytes=900 * MB)
    assert seconds_left(running) == 400
    barely = moves((1 * MB, 4_500 * MB), planned=101, copied=100, moved_bytes=1 * MB)
    assert seconds_left(barely) is None
    small = moves((0, 1_000), planned=101, copied=100, moved_bytes=100_000)
    assert seconds_left(small) == 1


def test_the_bytes_of_each_repository_that_is_worked_on():
    running = moves((30 * MB, 130 * MB), planned=40, copied=20, moved_bytes=130 * MB)
    numbers = {"planned": 10, "listed": True, "status": "synchronizing"}
    running.repositories.update(**numbers, copied=5, moved_bytes=130 * MB)
    known = running.repositories.get()
    running.repositories.create(name="prod/young", copied=0, **numbers)
    running.repositories.create(name="prod/done", **{**numbers, "status": "succeeded"}, copied=10, moved_bytes=5)
    assert progress.bytes_of(running, running.repositories.all()) == {known.pk: (130 + 100 + 4 * 20) * MB}
    running.close(Status.STOPPED)
    assert progress.bytes_of(running, running.repositories.all()) == {}


def test_speed_is_the_average_so_far():
    assert progress.bytes_per_second(task(10, moved_bytes=50_000_000)) == pytest.approx(5_000_000, rel=0.01)
    assert progress.bytes_per_second(task(10)) is None
    assert progress.bytes_per_second(SyncTask(moved_bytes=5)) is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3, "10 s"), (44, "40 s"), (90, "2 min"), (5000, "83 min"), (7000, "2 h")]
)
def test_nobody_knows_more_exactly(seconds, shown):
    assert roughly(timedelta(seconds=seconds)) == shown


def test_the_time_of_a_running_task_goes_on_in_the_browser():
    assert 'data-seconds="65"' in spent(task(65)) and "1 min 05 s" in spent(task(65))
    assert ">4 s<" in spent(task(4.6)), "no tenths while it counts on by seconds"
    assert spent(task(65, status="failed")) == "1 min 05 s" and spent(SyncTask()) == "—"
