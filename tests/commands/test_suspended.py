"""manage.py bulk_sync and retry_failed with rules that may not run."""

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from sync.models import RegionPair, SyncRule, SyncTask
from tests.commands.test_bulk_sync import bulk_sync
from tests.replication.support import push, some_image
from tests.services.support import make_rule

pytestmark = pytest.mark.django_db

WHY = "Nothing may be copied from"


@pytest.fixture
def suspended(rule):
    RegionPair.objects.create(source="eu", target="cn")
    return rule


@pytest.mark.parametrize("words", [["--all"], ["--rule", "everything", "--json"], ["--instance", "guangzhou"]])
def test_when_all_are_suspended_nothing_starts_and_it_is_status_2(suspended, words):
    code, out, err = bulk_sync("--foreground", *words)
    assert (code, out) == (2, "")
    assert "Rule guangzhou/everything is suspended, so nothing was started: Nothing may be copied from" in err
    assert not SyncTask.objects.exists()


def test_among_others_it_is_left_out_told_and_status_1(suspended, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    inside = make_rule(
        suspended.source, suspended.source, name="inside", source_namespace=namespace, target_namespace=f"{namespace}-2"
    )
    code, out, err = bulk_sync("--foreground", "--all")
    assert code == 1 and f"Left out: guangzhou/everything is suspended: {WHY}" in err
    assert f"{inside}: task {inside.tasks.get().pk} succeeded" in out
    code, out, _ = bulk_sync("--foreground", "--json", "--rule", "everything", "--rule", "inside")
    document = json.loads(out)
    assert code == 1 and [one["rule"] for one in document["tasks"]] == ["guangzhou/inside"]
    (told,) = document["suspended"]
    assert told["rule"] == "guangzhou/everything" and WHY in told["reason"]
    assert not suspended.tasks.exists()


def test_a_dry_run_plans_it_and_says_so(suspended):
    code, out, _ = bulk_sync("--all", "--dry-run")
    assert code == 0 and f"The rule is suspended, so that nothing starts it: {WHY}" in out
    assert WHY in json.loads(bulk_sync("--all", "--dry-run", "--json")[1])["plans"][0]["suspended"]


def test_nothing_is_retried(suspended):
    task = SyncTask.objects.create(
        rule=suspended, source=suspended.source, target=suspended.target, snapshot=suspended.snapshot(), status="failed"
    )
    with pytest.raises(CommandError, match=WHY) as refused:
        call_command("retry_failed", str(task.pk))
    assert refused.value.returncode == 2


def test_loading_tells_that_a_rule_is_suspended_and_on_whose_rights_it_stands(suspended, tmp_path):
    out, err = StringIO(), StringIO()
    call_command("dump_rules", stdout=out)
    SyncRule.objects.update(by_platform=False, owner=User.objects.create_user("ann"), description="changed since")
    file = tmp_path / "rules.yaml"
    file.write_text(out.getvalue())
    call_command("load_rules", str(file), stderr=err, stdout=StringIO())
    said = err.getvalue()
    assert f"Rule {suspended} is suspended, so that nothing starts it: {WHY}" in said
    assert f"Rule {suspended} stands on the platform's own right then, before on the rights of ann." in said
