"""Instances and rules from a file: idempotent, all or nothing, every fault with its line."""

import textwrap

import pytest
from cryptography.fernet import Fernet

from sync.models import Instance, SyncRule
from sync.services.rulefile import RuleFileError, load_rules

pytestmark = pytest.mark.django_db

# As the documentation shows it.
EXAMPLE = r"""
instances:
  - {name: guangzhou, region: ap-guangzhou, url: "http://127.0.0.1:5001"}
  - {name: frankfurt, region: eu-frankfurt, url: "https://registry.example", username: robot, password_env: FRA_PASSWORD}
rules:
  - name: prod-to-frankfurt
    description: web images
    source: {instance: guangzhou, namespace: prod, repositories: "web/.*", exclude_repositories: "", tags: "v.*", exclude_tags: ".*-rc\\d+"}
    resources: [image, chart]
    target: {instance: frankfurt, namespace: ""}
    overwrite: false
    enabled: true
"""  # noqa: E501


@pytest.fixture(autouse=True)
def _password(monkeypatch):
    monkeypatch.setenv("FRA_PASSWORD", "secret")


def state():
    return [list(model.objects.order_by("pk").values()) for model in (Instance, SyncRule)]


def test_the_example_works():
    report = load_rules(EXAMPLE)
    assert report.created == [
        "guangzhou (ap-guangzhou)",
        "frankfurt (eu-frankfurt)",
        "guangzhou/prod-to-frankfurt",
    ]
    rule = SyncRule.objects.get()
    assert (rule.source.name, rule.target.name, rule.description) == ("guangzhou", "frankfurt", "web images")
    assert (rule.source_namespace, rule.target_namespace, rule.resulting_namespace) == ("prod", "", "prod")
    assert (rule.repositories, rule.exclude_repositories) == ("web/.*", "")
    assert (rule.tags, rule.exclude_tags) == ("v.*", r".*-rc\d+")
    assert (rule.resources, rule.overwrite, rule.enabled) == (["image", "chart"], False, True)
    assert (rule.target.username, rule.target.password) == ("robot", "secret")


def test_loading_twice_changes_nothing():
    load_rules(EXAMPLE)
    before = state()
    report = load_rules(EXAMPLE)
    assert (report.created, report.changed, report.unchanged) == ([], [], 3)
    assert state() == before


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("overwrite: false", "overwrite: true", ["guangzhou/prod-to-frankfurt"]),
        ("[image, chart]", "[other]", ["guangzhou/prod-to-frankfurt"]),
        ('"v.*"', "null", ["guangzhou/prod-to-frankfurt"]),
        ("eu-frankfurt", "eu-2", ["frankfurt (eu-2)"]),
    ],
)
def test_what_differs_is_changed(old, new, changed):
    load_rules(EXAMPLE)
    assert load_rules(EXAMPLE.replace(old, new)).changed == changed
    assert load_rules(EXAMPLE.replace(old, new)).unchanged == 3


def test_a_new_password_is_stored(monkeypatch):
    load_rules(EXAMPLE)
    monkeypatch.setenv("FRA_PASSWORD", "other")
    assert load_rules(EXAMPLE).changed == ["frankfurt (eu-frankfurt)"]
    assert Instance.objects.get(name="frankfurt").password == "other"


def test_a_password_whose_key_is_lost_can_be_loaded_again(settings):
    load_rules(EXAMPLE)
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    assert load_rules(EXAMPLE).changed == ["frankfurt (eu-frankfurt)"]
    assert Instance.objects.get(name="frankfurt").password == "secret"


def test_a_password_from_a_file(tmp_path):
    (tmp_path / "password").write_text("from file\n")
    load_rules(EXAMPLE.replace("password_env: FRA_PASSWORD", f"password_file: {tmp_path / 'password'}"))
    assert Instance.objects.get(name="frankfurt").password == "from file"


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("region: ap", "regoin: ap", ["line 3: “regoin” is not known here"]),
        ("overwrite: false", "overwrit: false", ["line 11: “overwrit” is not known here"]),
        ('tags: "v.*"', 'tag: "v.*"', ["line 8: “tag” is not known here"]),
        ("instance: frankfurt", "instance: paris", ["line 10: there is no instance “paris”"]),
        ('"web/.*"', '"web/("', ["line 8: repositories: Not a regular expression in RE2 syntax: at character 5: "]),
        ("overwrite: false", "overwrite: maybe", ["line 11: “overwrite” must be true or false"]),
        ("description: web images", "description: 5", ["line 7: “description” must be text (put it in quotes)"]),
        ("[image, chart]", "image", ["line 9: “resources” must be a list"]),
        ("[image, chart]", "[image, model]", ["line 9: “model” is no type of resource"]),
        ("[image, chart]", "[]", ["line 9: resources: Choose at least one type of resource."]),
        ("FRA_PASSWORD", "NOT_SET", ["line 4: the environment has no variable NOT_SET"]),
        ("password_env: FRA_PASSWORD", "password_file: /nowhere", ["line 4: /nowhere cannot be read: No such file"]),
        ("http://127.0.0.1:5001", "http://a.example", ["line 3: url: Plain HTTP is off for this instance"]),
        ("namespace: prod", 'namespace: "*"', ["line 8: namespace: Not a namespace"]),
        ("name: prod-to", "name: Prod-to", ["line 6: name: Lower-case letters"]),
        ("overwrite: false", "name: twice", ["line 11: “name” stands here twice"]),
        ("enabled: true", "enabled: true: false", ["line 12: not YAML: mapping values are not allowed here"]),
        ("rules:", "rules: [", ["not YAML"]),
        ("  - name: prod-to-frankfurt", "  - web\n  - name: a", ["line 6: expected a mapping with name"]),
        ("name: guangzhou", "name: !foo guangzhou", ["line 3: “name” must be text"]),
        ("web images", "!!binary aGVsbG8=", ["line 7: “description” must be text"]),
        ("web images", "2026-01-01", ["line 7: “description” must be text (put it in quotes)"]),
        ("web images", "!!timestamp soon", ["line 7: “description” must be text"]),
        ("web images", "[a]", ["line 7: “description” must be text"]),
        ("enabled: true", "enabled: !!bool maybe", ["line 12: “enabled” must be true or false"]),
        ("username: robot", "read_timeout: !!int soon", ["line 4: “read_timeout” must be a whole number"]),
        ("password_env: FRA", "password_file: x, password_env: FRA", ["line 4: give password_env or password_file"]),
        ("region: ap-guangzhou, ", "", ["line 3: region: This field cannot be blank."]),
        (
            "name: frankfurt, region: eu-frankfurt",
            "name: guangzhou, region: eu",
            ["line 4: there is an instance “guangzhou” further up", "line 10: there is no instance “frankfurt”"],
        ),
    ],
)
def test_each_fault_is_told_with_its_line_and_nothing_is_changed(old, new, faults):
    assert old in EXAMPLE
    with pytest.raises(RuleFileError) as refused:
        load_rules(EXAMPLE.replace(old, new))
    assert len(refused.value.faults) == len(faults), refused.value.faults
    for told, expected in zip(refused.value.faults, faults, strict=True):
        assert expected in told
    assert "secret" not in str(refused.value)
    assert state() == [[], []]


def test_a_password_file_that_is_not_text(tmp_path):
    (tmp_path / "password").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RuleFileError) as refused:
        load_rules(EXAMPLE.replace("password_env: FRA_PASSWORD", f"password_file: {tmp_path / 'password'}"))
    assert refused.value.faults == [f"line 4: {tmp_path / 'password'} is not text"]
    assert state() == [[], []]


def test_entries_that_cannot_be_read_do_not_hide_the_faults_of_others():
    text = """
    instances:
      - {name: a, region: eu, url: "https://a.example", port: 5}
      - {name: b, region: eu, url: "https://b.example"}
      - {name: c, region: 7, url: "https://c.example"}
      - 5
    rules:
      - {name: one, source: {instance: a, namespace: prod}, target: {instance: b}}
      - {name: two, source: {instance: b, namespace: prod}, target: {instance: nowhere}}
      - {name: three, source: {instance: b, namespace: "*"}, target: {instance: b}, sped: up}
      - {name: four, source: {instance: b, namespace: "*"}, target: {instance: b}}
    """
    with pytest.raises(RuleFileError) as refused:
        load_rules(textwrap.dedent(text))
    told = sorted((int(fault.split()[1].rstrip(":")), fault.partition(": ")[2]) for fault in refused.value.faults)
    expected = [
        (3, "“port” is not known here"),
        (5, "“region” must be text"),
        (6, "expected a mapping with name"),
        (9, "there is no instance “nowhere”"),
        (10, "“sped” is not known here"),
        (11, "namespace: Not a namespace"),
    ]
    # Rule one says nothing: what is wrong with its instance is told already.
    assert {line for line, _ in told} == {line for line, _ in expected}
    for line, sentence in expected:
        assert any(sentence in fault for number, fault in told if number == line), (line, told)
    assert state() == [[], []]


def test_a_refused_file_leaves_what_was_there():
    load_rules(EXAMPLE)
    before = state()
    with pytest.raises(RuleFileError):
        load_rules(EXAMPLE.replace("eu-frankfurt", "eu-2").replace("overwrite: false", "overwrite: 7"))
    assert state() == before


def test_a_rule_that_stands_there_twice():
    rule = EXAMPLE.partition("rules:\n")[2]
    with pytest.raises(RuleFileError, match="line 13: there is a rule “guangzhou/prod-to-frankfurt” further up"):
        load_rules(EXAMPLE + rule)


def test_all_faults_are_told_at_once():
    text = (
        EXAMPLE.replace("FRA_PASSWORD", "NOT_SET").replace("http://127.0.0.1:5001", "ftp://a").replace('"v.*"', '"("')
    )
    with pytest.raises(RuleFileError) as refused:
        load_rules(text)
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["line 3", "line 4"]
    fixed = text.replace("NOT_SET", "FRA_PASSWORD").replace("ftp://a", "https://a.example")
    with pytest.raises(RuleFileError, match="line 8: tags"):
        load_rules(fixed)


def test_rules_in_both_directions_and_a_file_of_nothing():
    assert load_rules("").created == []
    load_rules(EXAMPLE)
    more = """
    rules:
      - name: prod-to-frankfurt
        source: {instance: frankfurt, namespace: prod}
        target: {instance: guangzhou, namespace: backup}
    """
    assert load_rules(textwrap.dedent(more)).created == ["frankfurt/prod-to-frankfurt"]
    rule = SyncRule.objects.get(source__name="frankfurt")
    assert (rule.resources, rule.overwrite, rule.enabled, rule.with_referrers) == (
        ["image", "chart"],
        False,
        True,
        True,
    )
