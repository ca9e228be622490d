"""Stored secrets under a new key."""

import pytest
from django.core.management import CommandError, call_command

from sync.credentials import encrypt
from sync.models import AuditEntry, Instance, SyncRule, Verb
from sync.services import rotation
from tcrconsole.secrets import make_credential_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule(settings) -> SyncRule:
    """An instance and a rule whose secrets are stored under an old key."""
    settings.CREDENTIAL_KEYS = [make_credential_key()]
    instance = Instance(name="a", region="x", url="https://a.example")
    instance.password = "hunter2"
    instance.save()
    rule = SyncRule(name="r", source=instance, target=instance, source_namespace="p", target_namespace="q")
    rule.webhook_secret, rule.webhook_url = "knock-knock", "https://hook.example/in?key=1"
    rule.save()
    return rule


def test_secrets_move_to_the_first_key(rule, settings, capsys):
    (old,) = settings.CREDENTIAL_KEYS
    new = make_credential_key()
    settings.CREDENTIAL_KEYS = [new, old]
    call_command("rotate_credentials")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "3 secrets are encrypted with the first key."
    counts = [
        "passwords of instances: 1",
        "keys of management APIs: 0",
        "secrets of webhooks: 1",
        "addresses of webhooks: 1",
    ]
    assert told[1:5] == [f"  {count}" for count in counts]
    assert told[5].startswith("Nothing that is stored needs the other key of CREDENTIAL_KEYS any more. Next: leave")
    settings.CREDENTIAL_KEYS = [new]
    assert Instance.objects.get().password == "hunter2"
    assert SyncRule.objects.get().webhook_secret == "knock-knock"
    assert SyncRule.objects.get().webhook_url == "https://hook.example/in?key=1"
    rotated = AuditEntry.objects.filter(verb=Verb.ROTATED)
    assert {entry.object_repr for entry in rotated} == {"a (x)", "a/r"}
    call_command("rotate_credentials")
    assert capsys.readouterr().out.splitlines()[-1] == "CREDENTIAL_KEYS holds no other key: nothing is to be done."


def test_what_no_key_reads_is_named_and_stays(rule, settings, capsys):
    before = Instance.objects.get().encrypted_password
    settings.CREDENTIAL_KEYS = [make_credential_key()]
    with pytest.raises(CommandError, match=r"a \(x\), a/r"):
        call_command("rotate_credentials")
    assert Instance.objects.get().encrypted_password == before


def test_what_is_changed_meanwhile_is_left_alone(rule, settings, monkeypatch):
    def meanwhile(token):
        fresh = Instance.objects.get()
        fresh.password = "changed"
        fresh.save()
        return encrypt(token)

    monkeypatch.setattr(rotation, "encrypt", meanwhile)
    rotation.rotate()
    assert Instance.objects.get().password == "changed"


def test_an_address_that_no_key_reads_is_kept_for_the_day_when_the_key_is_back(rule, settings):
    keys = settings.CREDENTIAL_KEYS
    settings.CREDENTIAL_KEYS = [make_credential_key()]
    locked = SyncRule.objects.get()
    assert locked.webhook_url == locked.webhook_place == "(unreadable)"
    locked.description = "saved meanwhile"
    locked.save()
    settings.CREDENTIAL_KEYS = keys
    assert SyncRule.objects.get().webhook_url == "https://hook.example/in?key=1"
