"""Reaching instances, and what a connection test says."""

import pytest
from cryptography.fernet import Fernet

from demo.registries import TlsIdentity
from sync.models import Instance, Status
from sync.services import connect, trial
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import make_instance, run
from tests.support import Relay, htpasswd, self_signed

pytestmark = pytest.mark.django_db

ALL_GOOD = {"Reachable": True, "Credential accepted": True, "Listing allowed": True, "Push allowed": True}
# Where no credential is asked for, none is proven.
OPEN = ALL_GOOD | {"Credential accepted": None}


def found(instance: Instance) -> dict[str, bool | None]:
    return {finding.what: finding.ok for finding in trial.test_connection(instance)}


def last(instance: Instance) -> str:
    finding = trial.test_connection(instance)[-1]
    return f"{finding.detail} {finding.hint}"


def test_a_registry_that_serves(guangzhou, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    assert found(guangzhou) == OPEN
    guangzhou.refresh_from_db()
    assert (guangzhou.healthy, guangzhou.health_reason) == (True, "")
    assert guangzhou.checked_at
    assert guangzhou.latency_ms is not None
    assert namespace in connect.namespaces(guangzhou).names


@pytest.mark.parametrize(
    ("username", "password", "findings"),
    [
        ("robot", "right", ALL_GOOD),
        ("robot", "wrong", {"Reachable": True, "Credential accepted": False}),
        ("", "", {"Reachable": True, "Credential accepted": False}),
    ],
)
def test_the_credential(username, password, findings, start_registry, db):
    instance = make_instance("eu", start_registry(htpasswd=htpasswd("robot", "right")).url, username=username)
    instance.password = password
    instance.save()
    assert found(instance) == findings
    if findings is not ALL_GOOD:
        told = last(instance)
        assert "401" in told
        assert "user name and password" in told
        assert "wrong" not in told
        instance.refresh_from_db()
        assert (instance.healthy, bool(instance.health_reason)) == (False, True)


def test_a_registry_that_is_down(db, source):
    with Relay(source) as gone:
        pass
    instance = make_instance("eu", gone.url)
    assert found(instance) == {"Reachable": False}
    assert "the connection was refused" in last(instance)
    assert "Check the address" in last(instance)
    names = connect.namespaces(instance)
    assert names.names == []
    assert "the connection was refused" in names.problem


def test_a_certificate_is_trusted_when_its_authority_was_given(start_registry, db):
    certificate, key = self_signed("127.0.0.1")
    instance = make_instance("eu", start_registry(tls=TlsIdentity(certificate, key)).url)
    assert found(instance) == {"Reachable": False}
    assert "certificate is not trusted" in last(instance)
    assert "authority" in last(instance)
    instance.ca_certificate = certificate
    instance.full_clean()
    assert found(instance) == OPEN


@pytest.mark.parametrize("allowed", [False, True])
def test_plain_http_to_another_machine(allowed, db):
    instance = Instance(name="eu", region="eu", url="http://registry.invalid", allow_plain_http=allowed)
    assert found(instance) == {"Reachable": False}
    assert ("allow plain HTTP" in last(instance)) is not allowed
    if allowed:
        assert "host name is not known" in last(instance)


def test_a_web_server_is_no_registry(db, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/", Answer(200, {"Content-Type": "text/html"}, b"<html>"))
        assert found(make_instance("eu", relay.url)) == {"Reachable": False}


def test_no_catalog_and_no_right_to_push_are_no_failures(db, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(405))
        relay.script("POST", "/v2/", Answer(403))
        instance = make_instance("eu", relay.url)
        findings = trial.test_connection(instance)
    assert [finding.ok for finding in findings] == [True, None, None, None]
    assert "name their repositories exactly" in findings[2].hint
    instance.refresh_from_db()
    assert instance.healthy


def test_a_connection_test_leaves_nothing_behind(db, source):
    with Relay(source) as relay:
        assert found(make_instance("eu", relay.url)) == OPEN
        (begun,) = relay.received("POST")
        assert "/blobs/uploads/" in begun.target
        assert len(relay.received("DELETE")) == 1
        assert relay.received("PUT") == []


def test_namespaces_are_remembered_and_asked_for_again_on_demand(db, source, namespace):
    with Relay(source) as relay:
        instance = make_instance("eu", relay.url)
        connect.namespaces(instance)
        push(source, f"{namespace}/web", "v1", some_image())
        assert namespace not in connect.namespaces(instance).names
        assert namespace in connect.namespaces(instance, refresh=True).names


def test_a_catalog_that_takes_too_long_is_given_up_with_a_sentence_and_not_asked_again(db, source, monkeypatch):
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.5)
    with Relay(source) as relay:
        instance = make_instance("eu", relay.url)
        relay.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["web"]}' + b" " * 100, pieces=20))
        told = "The registry did not list its namespaces within 0.5 seconds."
        assert connect.namespaces(instance).problem == told
        asked = len(relay.received("GET", "/v2/_catalog"))
        assert asked and connect.namespaces(instance).problem == told
        assert len(relay.received("GET", "/v2/_catalog")) == asked
        assert told in [finding.detail for finding in trial.test_connection(instance)]
        relay.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["team/web"]}'))
        assert connect.namespaces(instance, refresh=True).names == ["team"]


@pytest.mark.parametrize("change", [{"username": "robot"}, {"read_timeout": 3}])
def test_a_failure_is_forgotten_when_the_instance_is_changed(change, db, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(403), Answer(body=b'{"repositories": ["team/web"]}'))
        instance = make_instance("eu", relay.url)
        assert connect.namespaces(instance).problem
        for name, value in change.items():
            setattr(instance, name, value)
        assert connect.namespaces(instance).names == ["team"]


def test_passwords_are_encrypted_and_keys_can_be_rotated(db, settings):
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.CREDENTIAL_KEYS = [old]
    instance = make_instance("eu", "https://registry.example", username="robot")
    instance.password = "secret"
    instance.save()
    (stored,) = Instance.objects.values_list("encrypted_password", flat=True)
    assert stored
    assert "secret" not in stored
    settings.CREDENTIAL_KEYS = [new, old]
    assert Instance.objects.get().password == "secret"
    instance.password = "secret"
    settings.CREDENTIAL_KEYS = [new]
    assert instance.password == "secret"


def test_without_the_key_a_sentence_stands_where_the_password_is_needed(rule, settings, namespace):
    rule.source.username, rule.source.password = "robot", "secret"
    rule.source.save()
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    told = "not in CREDENTIAL_KEYS. Put that key back, or enter the password again."
    assert told in connect.namespaces(rule.source).problem
    assert told in last(rule.source)
    task = run(rule)
    assert task.status == Status.FAILED
    assert told in task.reason


def test_a_password_goes_to_the_registry_and_copies_work_with_it(start_registry, frankfurt, namespace, rule, judge):
    closed = start_registry(htpasswd=htpasswd("robot", "right"))
    with Relay(closed.url) as relay:
        rule.target.url, rule.target.username, rule.target.password = relay.url, "robot", "right"
        rule.target.save()
        push(rule.source.url, f"{namespace}/web", "v1", some_image())
        task = run(rule)
        assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
        assert any(one.headers["Authorization"] for one in relay.requests)


def test_addresses_are_brought_to_their_normal_form(db):
    instance = Instance(name="a", region="eu", url="Registry.Example:443/")
    instance.full_clean()
    assert instance.url == "https://registry.example"
