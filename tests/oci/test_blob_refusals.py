"""What a target may answer to a blob: no, not so much at once, not now, not with this token."""

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Rejected, ServerFault, TooManyRequests, Unreachable
from tests.fakes.registry import Answer
from tests.fakes.uploads import ResumingRegistry
from tests.oci.sending import CONTENT, LARGE, MEBIBYTE, SMALL, reader, send


@pytest.mark.parametrize("status", [201, 202])
@pytest.mark.parametrize("way", ["put", "patch"])
def test_where_the_whole_is_refused_it_goes_in_patches_of_the_least_size(origin, monkeypatch, way, status):
    monkeypatch.setattr("sync.oci.blob_sending.STEP", 1)
    if way == "patch":
        monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    least = MEBIBYTE + 1000
    with ResumingRegistry(least_step=least, most=len(CONTENT) - 1, patched=status) as target:
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        steps = [len(one.body) for one in target.received("PATCH") if "Content-Range" in one.headers]
        assert steps == [least, least, len(CONTENT) - 2 * least]
        assert [one.body for one in target.received("PUT")][-1] == b""


@pytest.mark.parametrize("status", [400, 405, 411, 413, 415])
def test_a_small_blob_whose_put_is_refused_goes_in_a_patch(fake, status):
    uploads = "/v2/a/blobs/uploads/"
    fake.script("POST", uploads, Answer(202, {"Location": f"{uploads}one"}))
    fake.script("PUT", uploads, lambda one: Answer(status if one.body else 201))
    fake.script("PATCH", uploads, Answer(202))
    Client(Endpoint(fake.url)).upload("a", SMALL, [b"small"])
    assert [one.body for one in fake.received("PATCH")] == [b"small"]
    assert fake.requests[-1].target.startswith(f"{uploads}one?digest=")


def test_too_large_a_patch_is_made_smaller_until_it_fits(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.STEP", 4 * MEBIBYTE)
    with ResumingRegistry(most=MEBIBYTE) as target:
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert target.sessions == {}


def test_what_no_size_makes_welcome_is_refused_in_the_end(origin):
    with ResumingRegistry(most=1000) as target:
        with pytest.raises(Rejected) as caught:
            send(origin, target)
        assert caught.value.status == 413
        assert (target.blobs, target.sessions) == ({}, {})


@pytest.mark.parametrize("code", ["DENIED", "NAME_INVALID"])
def test_refusal_for_good_is_not_tried_another_way(origin, code):
    with ResumingRegistry() as target:
        target.script("PUT", target.uploads, Answer(400, body=b'{"errors":[{"code":"%s"}]}' % code.encode()))
        with pytest.raises(Rejected):
            send(origin, target)
        assert [one.method for one in target.requests] == ["POST", "PUT", "DELETE"]


@pytest.mark.parametrize(
    "answer",
    [*[Answer(status, {"Retry-After": "0"}) for status in (429, 503)], *map(Answer, (408, 500, 502, 504))],
    ids=lambda answer: answer.status,
)
@pytest.mark.parametrize("way", ["put", "patch"])
def test_passing_fault_of_the_target_sends_a_fresh_body(origin, monkeypatch, way, answer):
    if way == "patch":
        monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    with ResumingRegistry() as target:
        method = way.upper()
        real = target._complete if way == "put" else target._append
        target.script(method, target.uploads, answer, real)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.body for one in target.received(method)][:2] == [CONTENT, CONTENT]
        assert target.sessions == {}


def test_long_wait_is_put_to_the_caller(origin):
    with ResumingRegistry() as target:
        target.script("PUT", target.uploads, Answer(429, {"Retry-After": "86400"}))
        with pytest.raises(TooManyRequests) as caught:
            send(origin, target)
        assert caught.value.retry_after == 86400
        assert len(target.received("PUT")) == 1


@pytest.mark.parametrize("fault", ["reset", "answer"])
def test_lasting_fault_ends_after_some_tries_and_gives_the_session_up(origin, fault):
    with ResumingRegistry() as target:
        if fault == "reset":
            target.cut_bodies("PUT", target.uploads, *[1000] * 50)
        else:
            target.script("PUT", target.uploads, Answer(507))
        with pytest.raises(Unreachable if fault == "reset" else ServerFault) as caught:
            send(origin, target)
        assert (caught.value.side, caught.value.operation) == ("target", f"upload blob a@{LARGE.digest}")
        assert len(target.received("PUT")) == 4
        assert target.sessions == {}


@pytest.mark.parametrize("way", ["put", "patch"])
def test_token_that_dies_in_the_middle_is_renewed_and_the_blob_arrives(origin, monkeypatch, way):
    if way == "patch":
        monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    with ResumingRegistry() as target:
        challenge = {"WWW-Authenticate": f'Bearer realm="{target.url}/token",error="invalid_token"'}
        target.script("GET", "/token", Answer(body=b'{"token":"one"}'), Answer(body=b'{"token":"two"}'))
        target.script("POST", target.uploads, Answer(401, challenge), target._open)
        real = target._complete if way == "put" else target._append
        target.script(way.upper(), target.uploads, Answer(401, challenge), real)
        Client(Endpoint(target.url), Credential("robot", "secret")).upload("a", LARGE, reader(origin))
        assert target.blobs == {LARGE.digest: CONTENT}
        tokens = [one.headers["Authorization"] for one in target.received(way.upper())]
        assert tokens == ["Bearer one", "Bearer two"]


@pytest.mark.usefixtures("in_patches")
def test_token_that_dies_before_the_last_request_costs_no_bytes(origin):
    with ResumingRegistry() as target:
        challenge = {"WWW-Authenticate": f'Bearer realm="{target.url}/token"'}
        target.script("GET", "/token", Answer(body=b'{"token":"one"}'), Answer(body=b'{"token":"two"}'))
        target.script("POST", target.uploads, Answer(401, challenge), target._open)
        target.script("PUT", target.uploads, Answer(401, challenge), target._complete)
        Client(Endpoint(target.url)).upload("a", LARGE, reader(origin))
        assert target.blobs == {LARGE.digest: CONTENT}
        assert len(target.received("PATCH")) == 1
