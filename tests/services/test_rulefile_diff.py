"""What loading would change, told without changing it; and deleting what the file does not name."""

from typing import Any

import pytest

from sync.models import Instance, Status, SyncRule
from sync.services.execute import run_slice
from sync.services.rulefile import RuleFileError, dump_rules, load_rules
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule, open_here, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def console() -> SyncRule:
    """A rule from one instance to another."""
    source, target = make_instance("one", "https://one.example"), make_instance("two", "https://two.example")
    return make_rule(source, target, name="prod", source_namespace="prod")


def state() -> list[list[Any]]:
    return [list(model.objects.order_by("pk").values()) for model in (Instance, SyncRule)]


def told(text: str, *, prune: bool = False) -> list[str]:
    """The lines of a diff, after which everything is as before."""
    before = state()
    report = load_rules(text, prune=prune, dry_run=True)
    assert state() == before
    return [line for change in report.changes for line in change.lines()]


def test_fields_that_would_be_changed(console):
    make_instance("three", "https://three.example")
    text = dump_rules()
    SyncRule.objects.update(
        overwrite=True,
        tags="v.*",
        charts=False,
        parallelism=9,
        target=Instance.objects.get(name="three"),
        target_namespace="mirror",
        description="old\nsame",
    )
    Instance.objects.filter(name="two").update(region="elsewhere")
    assert told(text.replace("  source:", "  description: |-\n    new\n    same\n  source:")) == [
        "~ instance two: region: elsewhere -> region-of-two",
        "~ rule one/prod: description:\n    -old\n    +new",
        "~ rule one/prod: source.tags: v.* -> (blank)",
        "~ rule one/prod: resources: image -> image, chart",
        "~ rule one/prod: target.instance: three -> two",
        "~ rule one/prod: target.namespace: mirror -> (blank)",
        "~ rule one/prod: overwrite: yes -> no",
        "~ rule one/prod: parallelism: 9 -> 4",
    ]


def test_what_would_be_created_and_deleted(console):
    text = dump_rules()
    console.delete()
    Instance.objects.get(name="two").delete()
    other = make_rule(Instance.objects.get(name="one"), make_instance("three", "https://three.example"), name="b")
    assert told(text) == ["+ instance two", "+ rule one/prod"]
    assert told(text, prune=True) == ["+ instance two", "+ rule one/prod", f"- rule {other}", "- instance three"]


def test_nothing_would_be_changed(console):
    assert told(dump_rules(), prune=True) == []


def test_a_password_is_changed_without_a_word_of_it(console, monkeypatch):
    two = Instance.objects.get(name="two")
    two.password = "old-secret"
    two.save()
    monkeypatch.setenv("TCRCONSOLE_PASSWORD_TWO", "new-secret")
    assert told(dump_rules()) == ["~ instance two: password: changed"]
    assert Instance.objects.get(name="two").password == "old-secret"


def test_a_refused_file_is_refused_in_the_same_way(console):
    with pytest.raises(RuleFileError, match=r"line \d+: namespace: Not a namespace"):
        load_rules(dump_rules().replace("namespace: prod", "namespace: Prod"), dry_run=True)


def test_pruning_deletes_what_the_file_does_not_name(console):
    text = dump_rules()
    make_rule(console.target, console.source, name="prod")
    make_rule(console.source, make_instance("three", "https://three.example"), name="other")
    report = load_rules(text, prune=True)
    assert report.deleted == ["one/other", "two/prod", "three (region-of-three)"]
    assert [str(rule) for rule in SyncRule.objects.all()] == ["one/prod"]
    assert [instance.name for instance in Instance.objects.all()] == ["one", "two"]


def test_without_pruning_nothing_is_deleted(console):
    assert load_rules("instances: []\nrules: []\n").changes == []
    assert SyncRule.objects.exists()


def test_pruning_stops_what_runs_and_leaves_the_target(rule, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    running = open_here(rule)
    running.start()
    load_rules("instances: []\nrules: []\n", prune=True)
    assert not Instance.objects.exists()
    run_slice(running)
    running.refresh_from_db()
    assert running.status == Status.STOPPED
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


@pytest.mark.parametrize("text", ["", "# nothing\n", "instances: []\n", "rules: []\n"])
def test_a_truncated_file_does_not_wipe_the_console(text, console):
    before = state()
    with pytest.raises(RuleFileError, match="line 1: to prune, the file must have “instances” and “rules”"):
        load_rules(text, prune=True)
    assert state() == before


def test_an_instance_that_rules_of_the_file_use_is_not_pruned(console):
    before = state()
    text = "rules:\n" + dump_rules().partition("rules:\n")[2]
    listed = 'instances:\n- {name: one, region: elsewhere, url: "https://one.example"}\n'
    with pytest.raises(RuleFileError) as refused:
        load_rules(text + listed, prune=True)
    line = text.count("\n") + 1
    assert refused.value.faults == [
        f"line {line}: “two” is not listed here, and cannot be deleted. "
        "Rules use two: one/prod. Delete them, or give them another instance."
    ]
    assert state() == before


def test_a_fault_anywhere_keeps_everything(console):
    make_rule(console.source, console.target, name="other", source_namespace="prod")
    before = state()
    faulty = dump_rules().replace("- name: other", "- nam: other")
    with pytest.raises(RuleFileError) as refused:
        load_rules(faulty, prune=True)
    assert len(refused.value.faults) == 1
    assert state() == before
