"""Speed and time left: told when they are known, and not before."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import SyncTask
from sync.services import progress
from sync.templatetags.console import roughly, spent


def task(seconds: float, **values) -> SyncTask:
    values = {"status": "synchronizing", "planned": 100, "copied": 25, "all_planned": True, **values}
    return SyncTask(started_at=timezone.now() - timedelta(seconds=seconds), **values)


def test_time_left_goes_by_what_is_done():
    left = progress.time_left(task(60))
    assert left is not None and round(left.total_seconds()) == 180


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
    ],
    ids=["young", "little done", "nothing planned", "not all planned", "stopping", "all done", "ended"],
)
def test_no_estimate_while_too_little_is_known(seconds, values):
    assert progress.time_left(task(seconds, **values)) is None


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
    assert spent(task(65, status="failed")) == "1 min 05 s" and spent(SyncTask()) == "—"
