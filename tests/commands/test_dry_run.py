"""manage.py bulk_sync --dry-run: what would be done, in the words of the page, and nothing done."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.template.defaultfilters import filesizeformat

from demo.registries import free_port
from sync.models import SyncTask
from sync.services import preview
from sync.services.preview import WORDS
from tests.commands.test_bulk_sync import bulk_sync
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image, some_index
from tests.services.support import make_instance, make_rule
from tests.support import Relay, htpasswd

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_tells_the_plan_and_changes_nothing(as_json, rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    code, out, _ = bulk_sync("--all", "--dry-run", *(["--json"] if as_json else []))
    assert code == 0
    if as_json:
        (plan,) = json.loads(out)["plans"]
        (resource,) = plan["resources"]
        assert (plan["rule"], plan["copy"], plan["failed"]) == ("guangzhou/everything", 1, 0)
        assert (resource["repository"], resource["tag"], resource["action"]) == (f"{namespace}/web", "v1", "copy")
        assert resource["digest"] == image.digest
        assert plan["bytes_at_most"] == sum(len(blob.data) for blob in image.blobs)
    else:
        size = filesizeformat(sum(len(blob.data) for blob in image.blobs))
        assert f": 1 new; about {size} to move at the most, not counting" in out
        assert f"{namespace}/web:v1 -> {namespace}/web:v1  new" in out
    assert not SyncTask.objects.exists()
    assert judge.digest(target, f"{namespace}/web:v1") == ""


def test_a_dry_run_reads_each_manifest_once_and_says_what_it_could_not_read(rule, namespace, source, target):
    shared, gone, same = some_index(), some_image(), some_image()
    for tag, artifact in (("v1", shared), ("v1-again", shared), ("v2", gone), ("same", same)):
        push(source, f"{namespace}/web", tag, artifact)
    push(target, f"{namespace}/web", "same", same)
    with Relay(source) as relay:
        rule.source.url = relay.url
        rule.source.save()
        _, out, _ = bulk_sync("--all", "--dry-run", "--json")
        size = sum(len(blob.data) for image in (*shared.children, gone) for blob in image.blobs)
        assert json.loads(out)["plans"][0]["bytes_at_most"] == size
        assert not relay.received("GET", f"/v2/{namespace}/web/manifests/{same.digest}")
        relay.script("GET", f"/v2/{namespace}/web/manifests/{gone.digest}", Answer(404))
        _, out, _ = bulk_sync("--all", "--dry-run", "--json")
        assert json.loads(out)["plans"][0]["bytes_at_most"] is None
        _, out, _ = bulk_sync("--all", "--dry-run")
        assert "3 new, 1 there and equal; about" in out and "at the most for 2 of 3 tags" in out


def test_a_dry_run_calls_what_becomes_of_a_tag_as_the_page_does(rule, namespace, source, target):
    same, ours, theirs = some_image(), some_image(), some_image()
    for tag, here, there in (("a", same, same), ("b", ours, theirs)):
        push(source, f"{namespace}/web", tag, here)
        push(target, f"{namespace}/web", tag, there)
    _, out, _ = bulk_sync("--all", "--dry-run")
    told, *lines = out.splitlines()
    assert told.endswith(": 1 there and equal, 1 in conflict")
    assert [line.split("  ")[-1] for line in lines] == [WORDS[action][0] for action in ("unchanged", "conflict")]


def test_a_dry_run_tells_which_other_rules_may_write_to_the_same_names(rule, namespace, source):
    for number in range(7):
        push(source, f"{namespace}/app-{number}", "v1", some_image())
    make = {"source_namespace": namespace}
    make_rule(rule.source, rule.target, name="all-of-it", **make)
    make_rule(rule.source, rule.target, name="off", enabled=False, repositories="app-3", **make)
    make_rule(rule.source, rule.target, name="other-tags", tags="latest", **make)
    _, out, _ = bulk_sync("--rule", "everything", "--dry-run")
    assert out.splitlines()[1:3] == [
        f"  rule guangzhou/all-of-it may also write to {namespace}/app-0 and 6 more in frankfurt",
        f"  rule guangzhou/off (disabled) may also write to {namespace}/app-3 in frankfurt",
    ]
    assert "other-tags" not in out
    _, out, _ = bulk_sync("--rule", "everything", "--dry-run", "--json")
    names = [f"{namespace}/app-{number}" for number in range(7)]
    assert json.loads(out)["plans"][0]["overlaps"] == [
        {"rule": "guangzhou/all-of-it", "enabled": True, "names": names[:5], "more": 2},
        {"rule": "guangzhou/off", "enabled": False, "names": [names[3]], "more": 0},
    ]


def test_of_what_does_not_arrive_a_dry_run_tells_no_other_rule(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.images = False
    rule.save()
    make_rule(rule.source, rule.target, name="all-of-it", source_namespace=namespace)
    _, out, _ = bulk_sync("--rule", "everything", "--dry-run", "--json")
    (plan,) = json.loads(out)["plans"]
    assert (plan["left out"], plan["overlaps"]) == (1, [])


def test_a_dry_run_says_when_there_was_no_time_to_look_for_other_rules(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(preview, "OVERLAPS_SECONDS", 0)
    push(source, f"{namespace}/web", "v1", some_image())
    make_rule(rule.source, rule.target, name="all-of-it", source_namespace=namespace)
    _, out, _ = bulk_sync("--rule", "everything", "--dry-run")
    assert "  There was no time to look for other rules that write to the same names.\n" in out
    assert "may also write" not in out and f"{namespace}/web:v1  new" in out
    _, out, _ = bulk_sync("--rule", "everything", "--dry-run", "--json")
    assert json.loads(out)["plans"][0]["overlaps"] is None


def test_a_dry_run_without_a_source_is_status_1(rule, source):
    with Relay(source) as gone:
        pass
    rule.source.url = gone.url
    rule.source.save()
    code, out, _ = bulk_sync("--all", "--dry-run", "--json")
    (plan,) = json.loads(out)["plans"]
    assert (code, plan["rule"], plan["resources"]) == (1, "guangzhou/everything", [])
    assert plan["reason"].startswith("Source guangzhou: cannot reach the registry")


def test_a_dry_run_with_a_refused_password_is_status_1(rule, namespace, source, start_registry):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.target.url = start_registry(htpasswd=htpasswd("robot", "right")).url
    rule.target.username, rule.target.password = "robot", "hunter2"
    rule.target.save()
    code, out, err = bulk_sync("--all", "--dry-run", "--json")
    (plan,) = json.loads(out)["plans"]
    assert (code, plan["rule"], plan["resources"]) == (1, "guangzhou/everything", [])
    assert plan["reason"].startswith("Target frankfurt: cannot sign in")
    assert "user name and password" in plan["reason"]
    assert "hunter2" not in out + err


def test_a_quick_dry_run_is_refused():
    with pytest.raises(CommandError, match="leave out --quick") as refusal:
        call_command("bulk_sync", "--all", "--dry-run", "--quick")
    assert refusal.value.returncode == 2


def test_a_rule_of_which_a_side_is_away_is_told_beside_the_others(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    dead = make_instance("dead", f"http://127.0.0.1:{free_port()}")
    make_rule(rule.source, dead, name="to-dead", source_namespace=namespace)
    code, out, _ = bulk_sync("--all", "--dry-run", "--json")
    plans = {plan["rule"]: plan for plan in json.loads(out)["plans"]}
    assert code == 1
    assert (plans["guangzhou/everything"]["copy"], plans["guangzhou/everything"]["reason"]) == (1, "")
    assert plans["guangzhou/to-dead"]["reason"].startswith("Target dead: cannot reach the registry")
    assert plans["guangzhou/to-dead"]["bytes_at_most"] is None
    code, out, _ = bulk_sync("--all", "--dry-run")
    assert (
        code == 1
        and "1 new" in out
        and "guangzhou/to-dead -> dead (region-of-dead): cannot be told: Target dead" in out
    )


def test_a_task_that_could_not_begin_says_why_and_counts_no_repositories(rule):
    rule.source.url = f"http://127.0.0.1:{free_port()}"
    rule.source.save()
    code, out, _ = bulk_sync("--all", "--foreground", "--json")
    (told,) = json.loads(out)["tasks"]
    assert (code, told["status"], told["repositories"]) == (1, "failed", None)
    assert told["reason"].startswith("Source guangzhou: cannot reach the registry")
    code, out, _ = bulk_sync("--all", "--foreground")
    assert code == 1 and "failed, 0 resources: 0 copied" in out and "cannot reach the registry" in out
