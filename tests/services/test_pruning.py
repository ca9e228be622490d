"""Old tasks go in small pieces, the newest of each rule stay."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.admin.models import LogEntry as AdminEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils import timezone

from sync.models import Delivery, LogLine, Status, SyncTask, TaskRepository, TaskResource
from sync.services import pruning
from tests.services.support import make_rule

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=91)


def ended(rule, ago=LONG_AGO, status=Status.SUCCEEDED, of=True):
    at = timezone.now() - ago
    task = SyncTask.objects.create(
        rule=rule if of else None, source=rule.source, snapshot=rule.snapshot(), trigger="manual", status=status,
        finished_at=None if status == Status.SYNCHRONIZING else at,
    )  # fmt: skip
    repository = TaskRepository.objects.create(task=task, name="a/b", target_name="a/b")
    TaskResource.objects.create(repository=repository, tag="v1", outcome="copied")
    LogLine.objects.create(task=task, message="Started.")
    return task


def prune_all():
    while pruning.prune():
        pass


@pytest.fixture
def few_kept(monkeypatch):
    monkeypatch.setattr(pruning, "KEPT_PER_RULE", 2)


def test_old_tasks_go_with_all_that_is_theirs(rule, few_kept):
    Delivery.objects.create(rule=rule, target=rule.target, repository="a/b", tag="v1", digest="d")
    tasks = [ended(rule) for _ in range(4)]
    prune_all()
    assert list(SyncTask.objects.order_by("pk")) == tasks[2:]
    assert TaskResource.objects.count() == TaskRepository.objects.count() == LogLine.objects.count() == 2
    assert Delivery.objects.count() == 1


def test_young_and_open_tasks_stay(rule, few_kept):
    kept = [ended(rule, timedelta(days=89)), ended(rule, status=Status.SYNCHRONIZING)]
    ended(rule)
    kept += [ended(rule), ended(rule)]
    prune_all()
    assert list(SyncTask.objects.order_by("pk")) == kept


def test_each_rule_keeps_its_own(rule, few_kept):
    other = make_rule(rule.source, rule.target, name="other", source_namespace="other")
    old = [ended(one) for one in (rule, other) for _ in range(2)]
    for _ in range(5):
        ended(rule, timedelta())
    prune_all()
    assert set(SyncTask.objects.filter(pk__in=[task.pk for task in old])) == set(old[2:])


def test_tasks_of_a_deleted_rule_go(rule, few_kept):
    ended(rule, of=False)
    prune_all()
    assert not SyncTask.objects.exists()


def test_pieces_are_small(rule, few_kept, monkeypatch):
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 3)
    task = ended(rule, of=False)
    LogLine.objects.bulk_create(LogLine(task=task, message="x") for _ in range(7))
    pieces = []
    while piece := pruning.prune():
        pieces.append(piece)
    assert pieces == [3, 3, 2, 1, 1, 1]


def test_with_nothing_to_do_nobody_looks_again_at_once(rule, few_kept, django_assert_num_queries):
    cache.clear()
    assert pruning.prune() == 0
    with django_assert_num_queries(0):
        assert pruning.prune() == 0


def test_it_can_be_switched_off(rule, few_kept, settings):
    settings.TASK_DAYS = 0
    ended(rule, of=False)
    assert pruning.prune() == 0


def test_sessions_that_have_ended_go_and_others_stay(db, monkeypatch):
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 3)
    now = timezone.now()
    for number in range(7):
        Session.objects.create(session_key=f"old{number}", session_data="", expire_date=now - timedelta(minutes=1))
    Session.objects.create(session_key="young", session_data="", expire_date=now + timedelta(hours=1))
    pieces = []
    while piece := pruning.prune():
        pieces.append(piece)
    assert pieces == [3, 3, 1]
    assert Session.objects.get().session_key == "young"


def test_wrong_passwords_go_when_they_lock_nobody_out_any_more(db, settings):
    for name in ("old", "young"):
        AccessAttempt.objects.create(username=name, failures_since_start=5)
    AccessAttempt.objects.filter(username="old").update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME)
    prune_all()
    assert AccessAttempt.objects.get().username == "young"


def test_what_the_admin_site_notes_goes_with_the_audit(db, settings):
    user = User.objects.create_user("ann")
    for flag in (ADDITION, DELETION):
        AdminEntry.objects.create(user=user, object_repr="x", action_flag=flag)
    long_ago = timezone.now() - timedelta(days=settings.AUDIT_DAYS, minutes=1)
    AdminEntry.objects.filter(action_flag=ADDITION).update(action_time=long_ago)
    prune_all()
    assert AdminEntry.objects.get().action_flag == DELETION


def test_what_is_pruned_is_all_that_grows_with_time():
    """A table that grows, and stands in neither list, fails here: prune it, or say why it does not grow."""
    pruned = {
        *("sync.SyncTask", "sync.TaskRepository", "sync.TaskResource", "sync.LogLine", "sync.TaskPart"),
        *("sync.Removal", "sync.Announcement", "sync.AuditEntry", "admin.LogEntry"),
        *("sync.Notification", "sync.TagOrigin", "sync.TagLock", "sync.Lag"),
        *("sessions.Session", "axes.AccessAttempt", "axes.AccessAttemptExpiration"),
    }
    bounded = {
        # By what people make and delete.
        *("sync.Instance", "sync.SyncRule", "sync.RegionPair", "sync.ApiToken", "sync.Identity", "sync.Preference"),
        *("auth.User", "auth.Group", "auth.Permission", "contenttypes.ContentType"),
        *("guardian.UserObjectPermission", "guardian.GroupObjectPermission"),
        # By what targets hold, and by pairs of instances and words.
        *("sync.Delivery", "sync.TaskTally", "sync.ErrorTally"),
        # Never written, or no table at all.
        *("axes.AccessLog", "axes.AccessFailureLog", "django_rq.Dashboard"),
    }
    tables = {model._meta.label for model in apps.get_models()}
    assert tables == pruned | bounded
    assert not pruned & bounded
