"""Dumping, and loading what was dumped: nothing is lost, nothing changes, no secret is in the text."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from sync.models import Instance, SyncRule
from sync.services.rulefile import RuleFileError, UnknownInstance, dump_rules, load_rules
from sync.services.rulefile.format import INSTANCE_FIELDS, RULE_FIELDS, Field
from tests.services.support import make_instance, make_rule
from tests.support import self_signed

pytestmark = pytest.mark.django_db

FORMAT: dict[Any, Sequence[Field]] = {Instance: INSTANCE_FIELDS, SyncRule: RULE_FIELDS}
# State and bookkeeping: deliberately not in the file.
NOT_IN_THE_FILE = {
    Instance: {
        "id",
        "checked_at",
        "healthy",
        "health_reason",
        "latency_ms",
        "password_set_at",
        "api_key_set_at",
        "down_since",
        "down_reason",
        "next_try_at",
        # By who enters the address: a file is the platform's.
        "private_addresses",
        # The secret stays: another console has one of its own.
        "hook_secret_hash",
        "hook_secret_set_at",
        "notified_at",
        "next_poll_at",
        "created_at",
    },
    SyncRule: {
        "id",
        "next_run_at",
        "lag_median",
        "lag_p95",
        "lag_worst",
        "lag_counted_at",
        # On whose rights it stands here.
        "owner",
        "by_platform",
        "suspension",
        "created_at",
        "updated_at",
    },
}
# A value of each field that is not its default.
INSTANCE: dict[str, Any] = {
    "name": "frankfurt",
    "region": "eu-frankfurt",
    "kind": "tcr",
    "url": "http://registry.example",
    "username": "robot",
    "password_expires_on": date(2027, 1, 31),
    "registry_id": "tcr-12345678",
    "api_region": "eu-frankfurt",
    "api_address": "tcr.intl.tencentcloudapi.com",
    "api_key_id": "AKIDexample",
    "proxy": "http://proxy.example:3128",
    "allow_plain_http": True,
    "connect_timeout": 11,
    "read_timeout": 61,
    "max_connections": 17,
    "max_bytes_per_second": 1_000_000,
    "poll_minutes": 15,
    "pool": "eu",
    "ca_certificate": self_signed("127.0.0.1")[0],
}
RULE: dict[str, Any] = {
    "name": "prod",
    "description": "web images,\nas asked for by “Wëb” 🐳",
    "source_namespace": "prod",
    "repositories": "web/.*",
    "exclude_repositories": r"web/\d+",
    "tags": "v.*",
    "exclude_tags": ".*-rc'\"",
    "images": False,
    "charts": False,
    "others": True,
    "with_referrers": False,
    "target_namespace": "mirror",
    "overwrite": True,
    "enabled": False,
    "parallelism": 5,
    "pool": "cn",
    "schedule": "0 3 * * *",
    "schedule_zone": "Asia/Shanghai",
    "delete_removed": True,
    "removal_share": 33,
    "webhook_url": "https://hook.example/path",
    "webhook_failures_only": True,
}
VARIABLE = "TCRCONSOLE_PASSWORD_FRANKFURT"
KEY_VARIABLE = "TCRCONSOLE_API_KEY_FRANKFURT"
WEBHOOK_VARIABLE = "TCRCONSOLE_WEBHOOK_GUANGZHOU_rule_PROD"


@pytest.fixture
def everything() -> SyncRule:
    """A rule and an instance that have no field at its default."""
    frankfurt = Instance(**INSTANCE)
    frankfurt.password = "hunter2"
    frankfurt.api_key = "hunter4"
    frankfurt.save()
    rule = SyncRule(source=make_instance("guangzhou", "https://gz.example"), target=frankfurt, **RULE)
    rule.webhook_secret = "hunter3"
    rule.save()
    return rule


def columns(model: Any) -> set[str]:
    """The model's fields that the format knows."""
    return {column for field in FORMAT[model] for column in field.columns}


def state() -> list[list[dict[str, Any]]]:
    return [list(model.objects.order_by("pk").values()) for model in FORMAT]


def content() -> Iterator[dict[str, Any]]:
    """What the file stands for, by names instead of keys of the database."""
    for instance in Instance.objects.order_by("name"):
        plain = columns(Instance) - {"encrypted_password", "encrypted_api_key"}
        secrets = {"password": instance.password, "api_key": instance.api_key}
        yield {name: getattr(instance, name) for name in plain} | secrets
    for rule in SyncRule.objects.order_by("source__name", "name"):
        yield {name: str(getattr(rule, name)) for name in columns(SyncRule) - {"encrypted_webhook_secret"}} | {
            "webhook_secret": rule.webhook_secret
        }


@pytest.mark.parametrize("model", FORMAT)
def test_every_field_of_the_models_is_in_the_format_or_left_out_on_purpose(model):
    fields = {field.name for field in model._meta.concrete_fields}
    assert columns(model) | NOT_IN_THE_FILE[model] == fields
    assert not columns(model) & NOT_IN_THE_FILE[model]


def test_the_samples_leave_no_field_at_its_default(everything):
    for thing in (everything, everything.target):
        for name in columns(type(thing)):
            field: Any = type(thing)._meta.get_field(name)
            if len(field.choices or ()) != 1:
                assert getattr(thing, field.attname) != field.get_default(), name


def test_loading_what_was_dumped_changes_nothing(everything):
    before = state()
    report = load_rules(dump_rules())
    assert (report.changes, report.unchanged, state()) == ([], 3, before)


def test_another_console_becomes_the_same(everything, monkeypatch):
    text, before = dump_rules(), list(content())
    SyncRule.objects.all().delete()
    Instance.objects.all().delete()
    monkeypatch.setenv(VARIABLE, "hunter2")
    monkeypatch.setenv(KEY_VARIABLE, "hunter4")
    monkeypatch.setenv(WEBHOOK_VARIABLE, "hunter3")
    assert len(load_rules(text).created) == 3
    assert list(content()) == before
    assert dump_rules() == text


def test_what_was_changed_since_is_brought_back_where_the_file_leaves_the_default_out(everything):
    plain = make_rule(everything.source, everything.target, name="plain", source_namespace="prod")
    text, before = dump_rules(), list(content())
    SyncRule.objects.filter(pk=plain.pk).update(**{name: value for name, value in RULE.items() if name != "name"})
    others = {name: value for name, value in INSTANCE.items() if name not in ("name", "url")}
    Instance.objects.filter(name="guangzhou").update(**others)
    assert load_rules(text).changed == ["guangzhou (region-of-guangzhou)", "guangzhou/plain"]
    assert list(content()) == before


def test_the_text():
    guangzhou = make_instance("guangzhou", "https://gz.example")
    frankfurt = make_instance("frankfurt", "https://fra.example", ca_certificate="-----BEGIN\nMII=\n-----END\n")
    make_rule(guangzhou, frankfurt, name="b", source_namespace="prod", others=True, repositories="yes", overwrite=True)
    make_rule(guangzhou, frankfurt, name="a", source_namespace="/", description="All of it.\nReally.\n")
    lines = dump_rules().splitlines(keepends=True)
    assert [line for line in lines if line.startswith("#")] == lines[:4]
    assert "".join(lines[4:]) == (
        """\
instances:
- name: frankfurt
  region: region-of-frankfurt
  url: https://fra.example
  ca_certificate: |
    -----BEGIN
    MII=
    -----END

- name: guangzhou
  region: region-of-guangzhou
  url: https://gz.example

rules:
- name: a
  description: |
    All of it.
    Really.
  source:
    instance: guangzhou
    namespace: /
  target:
    instance: frankfurt

- name: b
  source:
    instance: guangzhou
    namespace: prod
    repositories: 'yes'
  resources: [image, chart, other]
  target:
    instance: frankfurt
  overwrite: true
"""
    )


def test_an_empty_console():
    text = dump_rules()
    assert yaml.safe_load(text) == {"instances": [], "rules": []}
    assert load_rules(text, prune=True).changes == []


def test_a_part_holds_the_rules_from_there_and_every_instance_they_name():
    one, two, three, four = (make_instance(name, f"https://{name}.example") for name in ("one", "two", "three", "four"))
    for source, target in ((one, two), (one, three), (two, four), (three, one)):
        make_rule(source, target, name=f"to-{target.name}", source_namespace="prod")

    def names(text: str) -> list[list[str]]:
        return [[entry["name"] for entry in entries] for entries in yaml.safe_load(text).values()]

    assert names(dump_rules(["one"])) == [["one", "three", "two"], ["to-three", "to-two"]]
    assert names(dump_rules(["two", "three"])) == [["four", "one", "three", "two"], ["to-one", "to-four"]]
    assert names(dump_rules(["four"])) == [["four"], []]
    assert "--prune" in dump_rules(["one"])
    assert "--prune" not in dump_rules()
    with pytest.raises(UnknownInstance, match="There is no instance “paris”"):
        dump_rules(["one", "paris"])


def test_no_password_is_in_the_text_nor_needed_for_it(everything, settings):
    text = dump_rules()
    assert f"password_env: {VARIABLE}\n" in text
    assert f"api_key_env: {KEY_VARIABLE}\n" in text
    assert f"secret_env: {WEBHOOK_VARIABLE}\n" in text
    assert "hunter" not in text
    assert everything.target.encrypted_password not in text
    assert everything.target.encrypted_api_key not in text
    assert everything.encrypted_webhook_secret not in text
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    assert dump_rules() == text.replace("https://hook.example/path", "(unreadable)")
    with pytest.raises(RuleFileError, match="Give the whole address"):
        load_rules(dump_rules())


def test_a_variable_that_is_not_set_keeps_a_stored_password(everything):
    text = dump_rules()
    report = load_rules(text.replace("eu-frankfurt", "eu-2"))
    assert report.changed == ["frankfurt (eu-2)"]
    assert report.kept == [
        f"frankfurt: password kept, the environment has no variable {VARIABLE}.",
        f"frankfurt: API key kept, the environment has no variable {KEY_VARIABLE}.",
        f"guangzhou/prod: secret of the webhook kept, the environment has no variable {WEBHOOK_VARIABLE}.",
    ]
    frankfurt = Instance.objects.get(name="frankfurt")
    assert (frankfurt.password, frankfurt.api_key) == ("hunter2", "hunter4")


def test_a_variable_that_is_set_replaces_it(everything, monkeypatch):
    monkeypatch.setenv(VARIABLE, "other")
    monkeypatch.setenv(KEY_VARIABLE, "other key")
    monkeypatch.setenv(WEBHOOK_VARIABLE, "another")
    report = load_rules(dump_rules())
    assert (report.changed, report.kept) == (["frankfurt (eu-frankfurt)", "guangzhou/prod"], [])
    assert [change.details for change in report.changes] == [
        ["password: changed", "api_key: changed"],
        ["webhook.secret: changed"],
    ]
    frankfurt = Instance.objects.get(name="frankfurt")
    assert (frankfurt.password, frankfurt.api_key) == ("other", "other key")
    assert SyncRule.objects.get().webhook_secret == "another"


@pytest.mark.parametrize(
    ("column", "variable"), [("encrypted_password", VARIABLE), ("encrypted_api_key", KEY_VARIABLE)]
)
def test_a_variable_that_is_not_set_is_a_fault_where_no_secret_is_stored(column, variable, everything):
    text = dump_rules()
    Instance.objects.filter(name="frankfurt").update(**{column: ""})
    with pytest.raises(RuleFileError, match=rf"line \d+: the environment has no variable {variable}"):
        load_rules(text)


def test_a_webhook_without_a_secret_is_a_fault(everything, monkeypatch):
    text = dump_rules()
    monkeypatch.setenv(WEBHOOK_VARIABLE, "")
    with pytest.raises(RuleFileError, match=r"line \d+: a webhook needs a secret"):
        load_rules(text)
    monkeypatch.delenv(WEBHOOK_VARIABLE)
    SyncRule.objects.update(encrypted_webhook_secret="")
    with pytest.raises(RuleFileError, match=rf"line \d+: the environment has no variable {WEBHOOK_VARIABLE}"):
        load_rules(text)
    with pytest.raises(RuleFileError, match=r"line \d+: a webhook needs a secret"):
        load_rules(re.sub(r"\n.*secret_env.*", "", text))


def test_the_secret_of_a_webhook_from_a_file(everything, tmp_path):
    path = tmp_path / "secret"
    path.write_text("from a file\n")
    load_rules(re.sub(r"secret_env: .*", f"secret_file: {path}", dump_rules()))
    assert SyncRule.objects.get().webhook_secret == "from a file"
    with pytest.raises(RuleFileError, match=r"line \d+: give secret_env or secret_file, not both"):
        load_rules(re.sub(r"(\n *)(secret_env: .*)", rf"\1\2\1secret_file: {path}", dump_rules()))


def test_without_an_address_the_secret_is_forgotten(everything):
    text = dump_rules()
    webhook = text[text.index("  webhook:") :]
    report = load_rules(text.replace(webhook, ""))
    assert report.changed == ["guangzhou/prod"]
    assert SyncRule.objects.get().encrypted_webhook_secret == ""


def test_a_wrong_address_of_a_webhook_is_a_fault_with_its_line(everything):
    text = dump_rules().replace("https://hook.example", "http://hook.example")
    line = 1 + text[: text.index("http://hook.example")].count("\n")
    with pytest.raises(RuleFileError, match=rf"line {line}: url: Use https://"):
        load_rules(text)


def test_a_ring_that_the_file_closes_is_told_once(everything):
    back = """
rules:
  - {name: there, source: {instance: guangzhou, namespace: prod}, target: {instance: frankfurt}}
  - {name: back, source: {instance: frankfurt, namespace: prod}, target: {instance: guangzhou}}
"""
    report = load_rules(back, dry_run=True)
    (warning,) = report.warnings
    assert "guangzhou/there → frankfurt/back → guangzhou/there" in warning
    assert load_rules(back).warnings == report.warnings
    assert load_rules(back).warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "null",
        "~",
        "5",
        "=",
        "2026-01-01",
        "- a",
        "a: b # c",
        "!x",
        " a ",
        "a\n",
        "\n\na\n\n\n",
        " a\n  b\nc",
        "a \nb",
        "a\n\n# b\n",
        "\ta\tb\n",
        "ends with spaces\n   ",
        "%x",
        "a" * 300 + " " + "b" * 300,
        "\x1b[0m\x07",
        "中文\n🐳",
        "\u2028\x85\ufeff",
    ],
)
def test_any_text_comes_back_as_it_was(text, everything):
    SyncRule.objects.update(description=text)
    before = state()
    dumped = dump_rules()
    assert load_rules(dumped).changes == []
    SyncRule.objects.update(description="other")
    assert load_rules(dumped).changed == ["guangzhou/prod"]
    assert SyncRule.objects.get().description == before[1][0]["description"]


def test_the_line_ends_of_browsers_are_no_difference(everything):
    Instance.objects.filter(name="frankfurt").update(ca_certificate=INSTANCE["ca_certificate"].replace("\n", "\r\n"))
    before = state()
    text = dump_rules()
    assert "  ca_certificate: |\n    -----BEGIN CERTIFICATE-----\n" in text
    assert (load_rules(text).changes, state()) == ([], before)
