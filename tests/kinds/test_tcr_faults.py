"""TCR Enterprise: limits, refusals and silence of the management API, and TCR's words for those of the registry."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sync.oci.addresses import Policy
from sync.oci.errors import (
    AddressRefused,
    Cancelled,
    Denied,
    NotFound,
    OciError,
    PlainHttpRefused,
    ProtocolViolation,
    Rejected,
    ServerFault,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from sync.registries import Management
from sync.registries.tcr_errors import ApiUnreachable
from tests.fakes.registry import Answer, FakeRegistry
from tests.fakes.tcr import SECRET_KEY
from tests.kinds.tcr_stage import MANAGEMENT, TcrStage
from tests.oci.artifacts import image

pytestmark = pytest.mark.usefixtures("quick_backoff")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def standing() -> Iterator[TcrStage]:
    with TcrStage() as stage:
        yield stage


@pytest.fixture
def stage(standing: TcrStage) -> Iterator[TcrStage]:
    standing.fake.forget()
    yield standing
    standing.fake.forget()


def error_of(stage: TcrStage, **options: Any) -> OciError:
    """What the list of namespaces fails with."""
    with pytest.raises(OciError) as caught:
        stage.open("source", **options).namespaces()
    error = caught.value
    assert (error.side, error.registry, error.operation) == ("source", "guangzhou", "list the namespaces")
    assert SECRET_KEY not in f"{error} {error.message} {error.hint} {error!r}"
    assert error.hint
    return error


# limits


@pytest.mark.parametrize(
    "code", ["RequestLimitExceeded", "RequestLimitExceeded.UinLimitExceeded", "InternalError", "InternalError.DbError"]
)
def test_limits_and_faults_of_the_other_side_are_waited_out(code, stage):
    stage.fake.refuse("DescribeNamespaces", code, code, code)
    assert stage.open().namespaces() == {}
    assert stage.fake.asked["DescribeNamespaces"] == 4


@pytest.mark.parametrize(
    ("code", "kind"),
    [("RequestLimitExceeded.IPLimitExceeded", TooManyRequests), ("InternalError.Unknown", ServerFault)],
)
def test_and_told_when_they_do_not_end(code, kind, stage):
    stage.fake.refuse("DescribeNamespaces", code, always=True)
    error = error_of(stage)
    assert type(error) is kind
    assert error.retryable
    assert stage.fake.asked["DescribeNamespaces"] == 4


def test_who_waits_at_a_page_makes_one_attempt(stage):
    stage.fake.refuse("DescribeNamespaces", "RequestLimitExceeded", always=True)
    error_of(stage, attempts=1)
    assert stage.fake.asked["DescribeNamespaces"] == 1


def test_told_to_stop_nothing_more_is_asked(stage):
    stage.fake.page = 1
    stage.fake.namespaces = {"one": True, "two": True, "three": True}
    stopped: list[bool] = []
    stage.fake.before["DescribeNamespaces"] = lambda: stopped.append(True)
    with pytest.raises(Cancelled):
        stage.open(cancelled=lambda: bool(stopped)).namespaces()
    assert stage.fake.asked["DescribeNamespaces"] == 1


# refusals


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("AuthFailure.SecretIdNotFound", Unauthorized, "Compare SecretId and SecretKey"),
        ("AuthFailure.SignatureExpire", Unauthorized, "Set the clock"),
        ("AuthFailure.UnauthorizedOperation", Denied, "tcr:DescribeNamespaces"),
        ("UnauthorizedOperation", Denied, "tcr:DescribeNamespaces"),
        ("UnauthorizedOperation.ErrorTcrUnauthorized", Denied, "tcr:DescribeNamespaces"),
        ("InternalError.ErrorTcrUnauthorized", Denied, "tcr:DescribeNamespaces"),
        ("ResourceNotFound", NotFound, "region and registry ID"),
        ("InternalError.ErrorOverLimit", Rejected, "quota"),
        ("LimitExceeded.ErrNamespaceMaxLimit", Rejected, "quota"),
        ("ResourceInsufficient.ErrorInstanceNotRunning", Rejected, "does not run"),
        ("UnsupportedRegion", Rejected, "region and registry ID"),
        ("Something.New", Rejected, "repeating it does not help"),
    ],
)
def test_refusals_say_the_next_step(code, kind, hint, stage):
    stage.fake.refuse("DescribeNamespaces", code, message=f"no, {SECRET_KEY} is not it", always=True)
    error = error_of(stage)
    assert type(error) is kind
    assert hint in error.hint
    assert (error.code, error.message) == (code, "no, … is not it")
    assert f"{code} “no, … is not it”" in str(error)
    assert stage.fake.asked["DescribeNamespaces"] == 1


def test_a_wrong_key_is_refused(stage):
    assert type(error_of(stage, management={"key": "wrong"})) is Unauthorized
    assert type(error_of(stage, management={"key_id": "wrong"})) is Unauthorized
    assert type(error_of(stage, management={"key": ""})) is Unauthorized


def test_a_wrong_registry_is_not_found(stage):
    assert type(error_of(stage, management={"registry_id": "tcr-other"})) is NotFound


def test_a_name_that_tcr_does_not_take(stage):
    with pytest.raises(Rejected) as caught:
        stage.open("target").ensure_namespace("x")
    assert caught.value.operation == "create the namespace x"
    assert "2 to 30" in caught.value.hint


def test_who_may_not_create_is_told_which_right_is_missing(stage):
    stage.fake.refuse("CreateNamespace", "UnauthorizedOperation", always=True)
    with pytest.raises(Denied, match=re.escape("tcr:CreateNamespace")):
        stage.open("target").ensure_namespace("prod")


def test_the_key_is_in_no_text_of_the_settings():
    assert SECRET_KEY not in repr(Management(**MANAGEMENT))


def test_where_the_registry_is_not_found_its_images_are_asked_for_once(stage):
    registry = stage.open(management={"registry_id": "tcr-other"})
    assert registry.digests("prod/web") is registry.digests("prod/api") is None
    assert stage.fake.asked["DescribeImages"] == 1


# silence


def test_nobody_answers(stage):
    error = error_of(stage, management={"address": "127.0.0.1:1"}, attempts=1)
    assert type(error) is ApiUnreachable
    assert (error.retryable, error.outage) == (True, False)


def test_an_answer_that_does_not_come_is_waited_for_as_long_as_the_instance_says(stage):
    with FakeRegistry() as silent:
        silent.script("POST", "/", Answer(wait=True))
        patient = {"read_timeout": 0.2}
        assert type(error_of(stage, management={"address": silent.url}, endpoint=patient, attempts=1)) is ApiUnreachable


def test_an_answer_that_breaks_off(stage):
    with FakeRegistry() as broken:
        broken.script("POST", "/", Answer(headers=JSON, body=b'{"Response": {}}', cut=5))
        assert type(error_of(stage, management={"address": broken.url})) is ApiUnreachable
        assert len(broken.requests) == 4


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(503, body=b"<html>"), ServerFault),
        (Answer(body=b"<html>"), ProtocolViolation),
        (Answer(headers=JSON, body=b"[]"), ProtocolViolation),
        (Answer(headers=JSON, body=b'{"Response": null}'), ProtocolViolation),
    ],
)
def test_what_is_not_the_api(answer, kind, stage):
    with FakeRegistry() as other:
        other.script("POST", "/", answer)
        assert type(error_of(stage, management={"address": other.url}, attempts=1)) is kind


def test_an_error_is_known_whatever_its_content_type(stage):
    error = {"Response": {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}, "RequestId": "1"}}
    with FakeRegistry() as other:
        typed = {"Content-Type": "application/json; charset=utf-8"}
        other.script("POST", "/", Answer(headers=typed, body=json.dumps(error).encode()))
        assert type(error_of(stage, management={"address": other.url})) is Denied


def test_the_proxy_of_the_instance_is_used(stage):
    with FakeRegistry() as proxy:
        proxy.script("POST", "http://", Answer(headers=JSON, body=b'{"Response": {"TotalCount": 0}}'))
        assert stage.open(endpoint={"proxy": proxy.url}).namespaces() == {}
        assert proxy.requests[0].target == f"{stage.fake.api}/"


def test_credentials_of_the_environment_do_not_replace_the_signature(stage, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login someone password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert stage.open().namespaces() == {}


def test_many_threads_share_few_connections(stage):
    stage.fake.namespaces["prod"] = True
    before = stage.fake.management.connections
    registry = stage.open()
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(registry.ensure_namespace, ["prod"] * 48))
    assert stage.fake.asked["DescribeNamespaces"] == 48
    assert stage.fake.management.connections - before <= 8


@pytest.mark.parametrize("address", ["http://tcr.example", "169.254.0.23", "tcr.example/path"])
def test_addresses_that_are_refused(address, stage):
    error = error_of(stage, management={"address": address})
    assert isinstance(error, PlainHttpRefused) is address.startswith("http:")


@pytest.mark.parametrize("missing", ["region", "registry_id"])
def test_what_is_missing_is_named(missing, stage):
    assert "region or the registry ID" in str(error_of(stage, management={missing: ""}))


# TCR's words for refusals of the registry


def words(stage: TcrStage, status: int, message: str = "", side: str = "target", **options: Any) -> str:
    """The hint of a push that is refused so."""
    body = json.dumps({"errors": [{"code": "DENIED", "message": message}]}).encode()
    with FakeRegistry() as refusing, pytest.raises(OciError) as caught:
        refusing.script("PUT", "/v2/", Answer(status, JSON, body))
        stage.open(side, url=refusing.url, **options).client.put_manifest("prod/web", "v1", image())
    return caught.value.hint


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "", "may have expired"),
        (403, "", "network access control"),
        (404, "", "Compare the name of the namespace"),
        (412, "Failed to process request due to 'web:v1' configured as immutable.", "tag immutability rule"),
        (403, "adding 1 GB of storage will exceed the quota", "quota of the TCR instance"),
        (400, "", "repeating it does not help"),
    ],
)
def test_refusals_of_the_registry(status, message, hint, stage):
    assert hint in words(stage, status, message)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_without_a_secret_id_a_missing_namespace_is_a_reason(status, stage):
    hint = "A push makes no namespace"
    assert hint in words(stage, status, management=None)
    assert hint not in words(stage, status)
    assert hint not in words(stage, status, management=None, side="source")


def test_no_answer_may_be_the_network_access_control(stage):
    silent = stage.open("target", endpoint={"connect_timeout": 1.0}, attempts=1, url="http://127.0.0.1:1")
    with pytest.raises(Unreachable) as caught:
        silent.client.ping()
    assert "network access control" in caught.value.hint


# addresses


@pytest.mark.parametrize("told", ["169.254.0.23", "fd00:ec2::254"])
def test_a_name_of_the_api_that_leads_to_the_clouds_secrets_is_refused(told, stage, monkeypatch):
    real, asked = socket.getaddrinfo, len(stage.fake.management.requests)
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: real(told, *rest, **options))
    error = error_of(stage, management={"address": "https://tcr.example"})
    assert isinstance(error, AddressRefused) and not error.retryable
    assert f"tcr.example leads to {told}, which is where clouds keep credentials" in str(error)
    assert len(stage.fake.management.requests) == asked


def test_the_api_is_at_no_private_address_where_the_instance_may_not_be(stage):
    error = error_of(stage, endpoint={"private_addresses": False})
    assert isinstance(error, AddressRefused)
    assert "127.0.0.1 is private" in str(error) and "INSTANCE_PRIVATE_ADDRESSES" in error.hint


@pytest.mark.parametrize("own", [True, False])
def test_a_proxy_to_the_api_is_judged_where_it_is_the_instances_own(own, stage, monkeypatch):
    monkeypatch.setattr(Policy, "refusal_of_host", lambda *_: "")
    proxy = "http://127.0.0.1:1"
    if not own:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    endpoint = {"private_addresses": False, "proxy": proxy if own else ""}
    error = error_of(stage, management={"address": "https://tcr.example"}, endpoint=endpoint, attempts=1)
    assert isinstance(error, AddressRefused if own else ApiUnreachable)
