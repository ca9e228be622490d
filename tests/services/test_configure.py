import pytest
from django.core.exceptions import ValidationError

from sync.models import Delivery, Instance, Status, SyncRule, SyncTask, TaskResource
from sync.services.configure import InUse, delete_instance, delete_rule, save_instance, save_rule, switch_rule
from sync.services.execute import run_slice
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule, open_here, run

pytestmark = pytest.mark.django_db


def test_deleting_a_rule_stops_its_tasks_and_keeps_logs_and_content(rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    done = run(rule)
    running = open_here(rule)
    running.start()
    waiting = SyncTask.objects.create(rule=rule, source=rule.source, snapshot=rule.snapshot(), trigger="push")
    delete_rule(rule)
    assert not SyncRule.objects.exists()
    for task in (done, running, waiting):
        task.refresh_from_db()
        assert (task.rule, task.rule_name, task.source) == (None, "everything", rule.source)
    assert (done.status, waiting.status, running.stop_requested) == (Status.SUCCEEDED, Status.STOPPED, True)
    assert run_slice(running) is False
    assert SyncTask.objects.get(pk=running.pk).status == Status.STOPPED
    assert TaskResource.objects.get(repository__task=done).tag == "v1"
    assert not Delivery.objects.exists()
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


def test_a_rule_deleted_while_its_task_copies_does_not_break_it(rule, namespace, source):
    for number in range(3):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    task = open_here(rule)

    def delete_once(seen: SyncTask) -> None:
        if SyncRule.objects.filter(pk=rule.pk).exists():
            delete_rule(rule)

    run_slice(task, watch=delete_once)
    task.refresh_from_db()
    assert not task.is_open
    assert not Delivery.objects.exists()


def test_an_instance_that_rules_use_is_not_deleted(rule, guangzhou, frankfurt):
    make_rule(frankfurt, guangzhou, name="back", source_namespace="prod")
    with pytest.raises(InUse) as refused:
        delete_instance(frankfurt)
    assert "frankfurt/back, guangzhou/everything" in str(refused.value)
    assert Instance.objects.count() == 2


def test_the_tasks_of_a_deleted_instance_stay(rule, guangzhou):
    task = open_here(rule)
    delete_rule(rule)
    delete_instance(guangzhou)
    task.refresh_from_db()
    assert (task.source, task.rule_name) == (None, "everything")


@pytest.mark.parametrize(("sync_now", "tasks"), [(True, 1), (False, 0)])
def test_a_new_rule_can_copy_what_is_there(sync_now, tasks, guangzhou, frankfurt, django_capture_on_commit_callbacks):
    rule = SyncRule(name="new", source=guangzhou, target=frankfurt, source_namespace="prod")
    with django_capture_on_commit_callbacks():
        task = save_rule(rule, actor="ann", sync_now=sync_now)
    assert SyncRule.objects.get().enabled
    assert SyncTask.objects.count() == tasks
    assert (task.actor if task else None) == ("ann" if sync_now else None)


def test_switching_a_rule(rule):
    switch_rule(rule, False)
    assert (rule.enabled, SyncRule.objects.get().enabled) == (False, False)


def test_the_password_of_an_instance_is_kept_replaced_or_removed(db):
    instance = make_instance("a", "https://a.example", username="robot")
    for given, stored in (("first", "first"), (None, "first"), ("second", "second"), ("", "")):
        save_instance(instance, given)
        assert Instance.objects.get().password == stored


def test_so_is_the_key_of_its_api(db):
    instance = make_instance("a", "https://a.example")
    for given, stored in (("first", "first"), (None, "first"), ("second", "second"), ("", "")):
        save_instance(instance, None, given)
        found = Instance.objects.get()
        assert (found.api_key, found.password, found.api_key_set_at is not None) == (stored, "", bool(stored))


@pytest.mark.parametrize("name", ["a", "9x", "a.b_c-d", "a-", "a" * 64])
def test_names_of_rules_that_are_accepted(name, rule):
    rule.name = name
    rule.full_clean()
    save_rule(rule)
    assert SyncRule.objects.get(name=name) == rule


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "a" * 65])
def test_names_of_rules_that_are_refused(name, rule):
    rule.name = name
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert set(refused.value.message_dict) == {"name"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source_namespace": ""}, "source_namespace"),
        ({"source_namespace": "*"}, "source_namespace"),
        ({"source_namespace": "Prod"}, "source_namespace"),
        ({"target_namespace": "a//b"}, "target_namespace"),
        ({"images": False, "charts": False, "others": False}, "images"),
        ({"tags": "("}, "tags"),
        ({"exclude_repositories": "(?=x)"}, "exclude_repositories"),
    ],
)
def test_what_a_rule_may_not_be(changes, field, rule):
    for name, value in changes.items():
        setattr(rule, name, value)
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert field in refused.value.message_dict


@pytest.mark.parametrize(("namespace_", "taken"), [("", False), ("prod", False), ("mirror", True)])
def test_a_rule_within_one_instance_needs_another_namespace(namespace_, taken, guangzhou):
    rule = SyncRule(
        name="inside", source=guangzhou, target=guangzhou, source_namespace="prod", target_namespace=namespace_
    )
    if taken:
        rule.full_clean()
        return
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert "Source and target are the same" in str(refused.value.message_dict["target_namespace"])
