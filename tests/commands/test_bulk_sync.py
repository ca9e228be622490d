"""manage.py bulk_sync: which rules, what is printed, and the exit status."""

import json
from io import StringIO
from time import monotonic

import pytest
from django.core.management import CommandError, call_command

from sync.models import Status, SyncTask, TaskRepository, Trigger
from sync.services.trigger import open_task
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import make_rule, open_here
from tests.support import Relay, wait_until

pytestmark = pytest.mark.django_db

NUMBERS = ["repositories", "planned", "copied", "unchanged", "conflict", "failed"]
KEYS = ["id", "rule", "status", "check", *NUMBERS, "bytes", "reason", "seconds"]


def bulk_sync(*words):
    """Exit status, standard output and standard error."""
    out, err = StringIO(), StringIO()
    try:
        call_command("bulk_sync", *words, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as left:
        return left.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def synchronize(*words):
    """Exit status and the tasks as --json tells them."""
    code, out, _ = bulk_sync("--foreground", "--json", *words)
    document = json.loads(out)
    assert list(document) == ["tasks"]
    return code, document["tasks"]


def test_all_is_well(rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    code, (told,) = synchronize("--all")
    assert (code, list(told)) == (0, KEYS)
    task = SyncTask.objects.get()
    assert (told["id"], told["rule"], told["status"]) == (task.pk, "guangzhou/everything", "succeeded")
    assert [told[key] for key in NUMBERS] == [1, 1, 1, 0, 0, 0]
    assert told["bytes"] == sum(len(blob.data) for blob in image.blobs)
    assert told["seconds"] > 0
    assert (task.trigger, bool(task.actor)) == (Trigger.COMMAND, True)
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest
    code, (told,) = synchronize("--all")
    assert (code, told["unchanged"], told["copied"]) == (0, 1, 0)


def test_a_conflict_is_status_3(rule, namespace, source, target):
    for url in (source, target):
        push(url, f"{namespace}/web", "v1", some_image())
    code, (told,) = synchronize("--all")
    assert (code, told["conflict"], told["status"]) == (3, 1, "succeeded")


def test_a_failure_is_status_1_even_beside_conflicts(rule, namespace, source, target):
    for url in (source, target):
        push(url, f"{namespace}/web", "v1", some_image())
    push(source, f"{namespace}/closed", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        rule.source.url = relay.url
        rule.source.save()
        code, (told,) = synchronize("--all")
        assert (code, told["conflict"], told["failed"]) == (1, 1, 1)
        code, out, _ = bulk_sync("--foreground", "--all")
    assert code == 1
    assert "1 failed" in out
    assert f"{namespace}/closed:*: Source guangzhou: cannot list the tags" in out


def test_a_source_that_is_down_is_status_1(rule, source):
    with Relay(source) as gone:
        pass
    rule.source.url = gone.url
    rule.source.save()
    code, out, _ = bulk_sync("--foreground", "--all")
    assert code == 1
    assert "the connection was refused" in out
    assert "Check the address" in out


@pytest.mark.usefixtures("valkey")
def test_waiting_too_long_is_status_4_and_the_task_goes_on_waiting(rule):
    code, out, err = bulk_sync("--all", "--wait", "--json", "--timeout", "0.1")
    assert code == 4
    assert json.loads(out)["tasks"][0]["status"] == "waiting"
    assert "No worker is running" in err
    task = SyncTask.objects.get()
    assert f"The time is up after 0.1 s: task {task.pk} of everything is still queued." in err
    code, out, err = bulk_sync("--all", "--wait", "--timeout", "0.1")
    assert (code, out) == (4, f"guangzhou/everything: task {task.pk} is still queued\n")
    assert f"everything: task {task.pk} was queued already; no other is opened." in err
    assert SyncTask.objects.get().status == Status.WAITING


def test_executing_too_long_stops_what_runs_and_is_status_4(rule, namespace, source, target, judge, settings):
    settings.RESOURCES_AT_ONCE = 1
    for tag in ("v1", "v2", "v3"):
        push(source, f"{namespace}/web", tag, some_image())
    over = monotonic() + 4

    with Relay(source) as relay:

        def answer_late(request):
            wait_until(lambda: monotonic() > over + 0.5, 10, "the time being over")
            return relay.forward(request)

        relay.script("GET", f"/v2/{namespace}/web/manifests/v2", answer_late)
        rule.source.url = relay.url
        rule.source.save()
        code, out, err = bulk_sync("--foreground", "--json", "--all", "--timeout", "4")
        (told,) = json.loads(out)["tasks"]
        assert err.endswith(f"The time is up after 4 s: task {told['id']} of everything was stopped.\n")
        assert relay.received("GET", f"/v2/{namespace}/web/manifests/v3") == []
    assert (code, told["status"], told["planned"], told["copied"]) == (4, "stopped", 3, 1)
    assert judge.digest(target, f"{namespace}/web:v1")
    assert not judge.digest(target, f"{namespace}/web:v2")
    assert TaskRepository.objects.get().status == Status.STOPPED


@pytest.mark.usefixtures("valkey")
def test_without_waiting_the_tasks_are_queued(rule):
    code, out, _ = bulk_sync("--all", "--json")
    assert (code, json.loads(out)["tasks"][0]["status"]) == (0, "waiting")
    code, out, _ = bulk_sync("--all")
    assert (code, out) == (0, f"guangzhou/everything: task {SyncTask.objects.get().pk} is queued\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Say which rules: --rule NAME, --instance NAME or --all."),
        (["--rule", "nothing"], "There is no rule “nothing”."),
        (["--rule", "frankfurt/everything"], "There is no rule “frankfurt/everything”."),
        (["--instance", "paris"], "There is no instance “paris”."),
        (["--instance", "frankfurt"], "No enabled rule"),
        (["--all", "--rule", "everything"], "leave out --rule and --instance"),
        (["--all", "--instance", "guangzhou"], "leave out --rule and --instance"),
        (["--all", "--timeout", "5"], "--timeout goes with --wait or --foreground."),
        (["--all", "--dry-run", "--timeout", "5"], "--timeout goes with --wait or --foreground."),
        (["--all", "--resource", "web"], "“web” is not of the form REPOSITORY:TAG"),
        (["--all", "--resource", "elsewhere/web:v1"], "None of the chosen rules covers elsewhere/web:v1"),
    ],
)
def test_wrong_use_is_status_2_with_a_sentence(words, told, rule):
    code, out, err = bulk_sync(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert not SyncTask.objects.exists()


def test_rules_by_name_and_instance(rule, guangzhou, frankfurt, namespace):
    make_rule(guangzhou, frankfurt, name="second", source_namespace=namespace, enabled=False)
    make_rule(frankfurt, guangzhou, source_namespace=namespace)

    def chosen(*words):
        return [task["rule"] for task in synchronize(*words)[1]]

    code, _, err = bulk_sync("--rule", "everything")
    assert (code, "write INSTANCE/everything" in err) == (2, True)
    assert chosen("--rule", "frankfurt/everything") == ["frankfurt/everything"]
    assert chosen("--rule", "everything", "--instance", "guangzhou") == ["guangzhou/everything"]
    assert chosen("--instance", "guangzhou") == ["guangzhou/everything"]
    assert chosen("--rule", "second") == ["guangzhou/second"]
    assert chosen("--rule", "second", "--rule", "second") == ["guangzhou/second"]
    assert chosen("--all") == ["frankfurt/everything", "guangzhou/everything"]


def test_chosen_resources(rule, namespace, source, target, judge):
    for name in ("web", "api"):
        for tag in ("v1", "v2"):
            push(source, f"{namespace}/{name}", tag, some_image())
    chosen = [f"{namespace}/web:v1", f"{namespace}/api:v2"]
    code, (told,) = synchronize("--all", "--resource", chosen[0], "--resource", chosen[1])
    assert (code, told["planned"], told["copied"]) == (0, 2, 2)
    assert all(judge.digest(target, name) for name in chosen)
    assert judge.digest(target, f"{namespace}/web:v2") == ""


def test_a_chosen_resource_that_the_source_lacks_is_status_1(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    words = ("--all", "--resource", f"{namespace}/web:v1", "--resource", f"{namespace}/web:gone")
    code, (told,) = synchronize(*words)
    assert (code, told["status"], told["planned"], told["copied"]) == (1, "succeeded", 1, 1)
    code, out, _ = bulk_sync("--foreground", *words)
    assert code == 1
    assert "1 of the resources asked for is not in the source." in out


def test_a_task_that_waits_already_is_executed_and_not_made_twice(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    waiting = open_here(rule)
    code, out, err = bulk_sync("--foreground", "--json", "--all")
    (told,) = json.loads(out)["tasks"]
    assert (code, told["id"], told["copied"]) == (0, waiting.pk, 1)
    said = f"everything: task {waiting.pk} was queued already; it is taken over, and executed here."
    assert err.splitlines()[0] == said
    assert open_task(rule, Trigger.MANUAL, enqueue=False).created


def test_a_quick_check_says_that_it_was_one(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    assert synchronize("--all")[1][0]["check"] == "full"
    code, (told,) = synchronize("--all", "--quick")
    assert (code, told["check"], told["unchanged"]) == (0, "quick", 1)
