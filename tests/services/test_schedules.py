"""What the clock starts."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from sync.cron import InvalidSchedule, check_expression, in_words, next_times, zone_names
from sync.models import SyncRule, SyncTask, Trigger
from sync.services import schedules
from sync.services.configure import save_instance, save_rule, switch_rule
from tests.services.support import in_threads, make_instance, make_rule

LONG_AGO = timedelta(days=3)


@pytest.fixture
def prod(guangzhou, frankfurt):
    rule = make_rule(guangzhou, frankfurt, source_namespace="prod", schedule="*/5 * * * *")
    save_rule(rule)
    return rule


def due(rule, ago=timedelta(seconds=1)):
    SyncRule.objects.filter(pk=rule.pk).update(next_run_at=timezone.now() - ago)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "times"),
    [
        ("0 3 * * *", "UTC", "2026-01-31T03:00+00:00", ["2026-02-01T03:00+00:00", "2026-02-02T03:00+00:00"]),
        ("0 3 * * *", "Asia/Shanghai", "2026-01-01T00:00+00:00", ["2026-01-02T03:00+08:00"]),
        # What falls into the hour that is left out comes right after it; the hour that comes twice counts once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+00:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+00:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00+00:00", ["2028-02-29T00:00+00:00"]),
        ("0 9 * * MON-FRI", "UTC", "2026-11-27T10:00+00:00", ["2026-11-30T09:00+00:00"]),
    ],
)
def test_the_next_times_of_a_schedule(expression, zone, after, times):
    found = next_times(expression, zone, datetime.fromisoformat(after), len(times))
    assert [time.isoformat(timespec="minutes") for time in found] == times


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("61 * * * *", "the minute"),
        ("0 24 * * *", "the hour"),
        ("0 0 31 2 *", "the day of the month"),
        ("0 0 * 13 *", "the month"),
        ("0 0 * * 8", "the day of the week"),
        ("0 3 * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("daily", "five fields"),
        ("*/0 * * * *", "the minute"),
    ],
)
def test_what_is_no_schedule_is_told_by_its_field(expression, words):
    with pytest.raises(InvalidSchedule, match=words):
        check_expression(expression)


def test_schedules_are_said_in_words():
    assert in_words("0 3 * * 1-5") == "At 03:00 on Monday through Friday"


def test_zones_are_those_that_people_name():
    assert {"UTC", "Europe/Berlin", "Asia/Shanghai", "America/New_York"} < set(zone_names())
    assert "Etc/GMT+5" not in zone_names()


def test_the_model_refuses_what_is_no_schedule_and_no_zone(guangzhou, frankfurt):
    rule = SyncRule(name="a", source=guangzhou, target=frankfurt, source_namespace="prod", schedule="0 3 * *")
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert list(refused.value.message_dict) == ["schedule"]
    rule.schedule, rule.schedule_zone = "0 3 * * *", "Mars/Olympus"
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert list(refused.value.message_dict) == ["schedule_zone"]


@pytest.mark.django_db
def test_what_is_due_is_started_once_as_a_quick_task(prod):
    assert schedules.start_due() == 0
    due(prod)
    assert schedules.start_due() == 1
    assert schedules.start_due() == 0
    task = SyncTask.objects.get()
    assert (task.trigger, task.quick, task.actor, task.selection) == (Trigger.SCHEDULE, True, "schedule", [])
    prod.refresh_from_db()
    assert timezone.now() < prod.next_run_at <= timezone.now() + timedelta(minutes=5)


@pytest.mark.django_db
def test_times_that_were_missed_become_one(prod):
    due(prod, LONG_AGO)
    assert schedules.start_due() == 1
    assert schedules.start_due() == 0


@pytest.mark.django_db
def test_a_disabled_rule_is_not_started_and_does_not_make_up_for_it(prod):
    due(prod, LONG_AGO)
    switch_rule(prod, enabled=False)
    assert schedules.start_due() == 0
    switch_rule(prod, enabled=True)
    assert prod.next_run_at > timezone.now()
    assert schedules.start_due() == 0


@pytest.mark.django_db
def test_another_schedule_counts_from_now_on(prod):
    due(prod)
    prod.schedule, prod.schedule_zone = "0 3 1 1 *", "Asia/Shanghai"
    save_rule(prod)
    assert schedules.start_due() == 0
    assert prod.next_run_at.astimezone(UTC).hour == 19
    prod.schedule = ""
    save_rule(prod)
    assert prod.next_run_at is None


@pytest.mark.django_db
def test_a_schedule_that_came_by_no_service_is_planned(prod):
    SyncRule.objects.update(next_run_at=None)
    assert schedules.start_due() == 0
    prod.refresh_from_db()
    assert prod.next_run_at is not None


@pytest.mark.django_db
def test_an_instance_is_polled_for_each_of_its_enabled_rules(guangzhou, frankfurt):
    for name, enabled in (("a", True), ("b", True), ("off", False)):
        make_rule(guangzhou, frankfurt, name=name, source_namespace=name, enabled=enabled)
    make_rule(frankfurt, guangzhou, name="other", source_namespace="c")
    guangzhou.poll_minutes = 15
    save_instance(guangzhou, None)
    assert schedules.start_due() == 2
    assert schedules.start_due() == 0
    assert sorted(task.rule.name for task in SyncTask.objects.all() if task.rule) == ["a", "b"]
    assert {(task.trigger, task.actor, task.quick) for task in SyncTask.objects.all()} == {("schedule", "poll", True)}
    guangzhou.refresh_from_db()
    assert guangzhou.next_poll_at > timezone.now() + timedelta(minutes=14)


@pytest.mark.usefixtures("threads_database")
def test_two_schedulers_start_nothing_twice(monkeypatch):
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: True)

    def prepare():
        a, b = make_instance("a", "http://a"), make_instance("b", "http://b")
        for number in range(5):
            due(make_rule(a, b, name=f"r{number}", source_namespace="prod", schedule="0 3 * * *"))

    in_threads([prepare])
    assert sum(in_threads([schedules.start_due] * 3)) == 5
    assert in_threads([partial(SyncTask.objects.count)]) == [5]


@pytest.mark.django_db
def test_a_schedule_that_makes_no_sense_any_more_stops_no_other(prod, guangzhou, frankfurt):
    bad = make_rule(
        guangzhou, frankfurt, name="bad", source_namespace="b", schedule="0 3 * * *", schedule_zone="Mars/X"
    )
    due(bad, LONG_AGO)
    due(prod)
    assert schedules.start_due() == 1
    assert [task.rule for task in SyncTask.objects.all()] == [prod]
