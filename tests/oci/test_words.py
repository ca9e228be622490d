"""What gets into logs and errors: the words of the registry, trimmed, and never a secret."""

import logging
from typing import Any

import pytest

from sync.oci.auth import Credential
from sync.oci.client import Client, Endpoint
from sync.oci.errors import DigestMismatch, Rejected, ServerFault, Unreachable, error_for
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry
from tests.oci.artifacts import image

OK = Answer(body=b"ok")


def get(fake: FakeRegistry, path: str = "/x", **options: Any) -> bytes:
    return Transport(Endpoint(fake.url, **options)).request("GET", path).body


def test_log_of_retries_tells_host_and_port(fake, caplog):
    caplog.set_level(logging.INFO, "sync.oci.transport")
    fake.script("GET", "/x", Answer(503), Answer(body=b"0123456789", cut=4), OK)
    get(fake, "/x?sig=s3cret")
    assert [one.levelname for one in caplog.records] == ["INFO", "INFO"]
    assert all(f"127.0.0.1:{fake.port}/x" in one.message for one in caplog.records)


def test_no_query_and_no_token_gets_into_logs_or_errors(fake, caplog):
    caplog.set_level(logging.DEBUG)
    leak = "no: /v2/a?_state=s3cret https://u:s3cret@h/x?sig=s3cret Bearer s3crets3cret eyJhbGciOi.s3cret.s3cret"
    fake.script("GET", "/x", Answer(503, body=leak.encode()))
    response = Transport(Endpoint(fake.url), attempts=2).request(
        "GET", "/x?sig=s3cret", {"Authorization": "Bearer s3cret"}
    )
    error = response.error()
    assert error.message.startswith("no: /v2/a?")
    with pytest.raises(Unreachable) as caught:
        Transport(Endpoint("http://127.0.0.1:1"), attempts=2).request("GET", "/x?sig=s3cret")
    chain = [caught.value, caught.value.__cause__]
    assert "s3cret" not in caplog.text + str(error) + repr(vars(error)) + "".join(map(repr, chain))


def test_words_of_the_registry_are_trimmed(fake):
    fake.script("GET", "/v2/", Answer(400, body=b"x" * 100_000))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    assert len(caught.value.message) == 500
    fake.script("GET", "/v2/", Answer(400, body=b"<html>nginx"))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    assert caught.value.message == ""


def test_words_of_the_registry_can_be_stored_and_shown(fake):
    message = rb'"a\u0000b\u001b[31m\ud800\u202ec\nd\u0085e","detail":"\udfff"'
    fake.script("GET", "/v2/", Answer(400, body=rb'{"errors":[{"code":"A\u0000\ud800B","message":%s}]}' % message))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    error = caught.value
    assert (error.code, error.message) == ("A\ufffd\ufffdB", "a\ufffdb\ufffd[31m\ufffd\ufffdc d e: \ufffd")
    assert f"{error}{error.problem}{error.args}".isprintable()


def test_whatever_part_of_an_answer_is_quoted_can_be_stored(fake):
    manifest = image()
    fake.script("PUT", "/v2/a/", Answer(201, {"Docker-Content-Digest": "\x01" * 5000}))
    with pytest.raises(DigestMismatch) as caught:
        Client(Endpoint(fake.url)).put_manifest("a", "v1", manifest)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_lasting_fault_is_reported_with_the_registrys_own_words(fake):
    fake.script("GET", "/v2/", Answer(500, body=b'{"errors":[{"code":"UNKNOWN","message":"disk","detail":"full"}]}'))
    with pytest.raises(ServerFault, match="500 UNKNOWN “disk: full”") as caught:
        Client(Endpoint(fake.url)).ping()
    assert caught.value.retryable
    assert len(fake.requests) == 4


def test_what_we_sent_is_not_said_back_even_where_it_would_be_cut_off():
    credential = Credential("robot", "pass/word-of-robot")
    code = credential.basic.removeprefix("Basic ")
    said = f"got {code} and pass/word-of-robot and pass%2Fword-of-robot {'x' * 420} {code}"
    error = error_for(403, {}, said.encode(), secrets=credential.secrets)
    assert error.message.startswith("got … and … and … xxx")
    assert code[:8] not in str(error) and "robot" not in error.message
    assert Credential("robot", "it").secrets == {Credential("robot", "it").basic.removeprefix("Basic ")}
