"""Uploads that break, are refused or forgotten, and end well: against sessions that can be resumed."""

import re
import threading

import pytest

from sync.oci.blob_reading import BlobReader
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import (
    Cancelled,
    DigestMismatch,
    NotFound,
    OciError,
    Rejected,
    ServerFault,
    TooManyRequests,
    Unreachable,
)
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.fakes.uploads import ResumingRegistry
from tests.oci.artifacts import blob

MEBIBYTE = 1024 * 1024
CONTENT = bytes(range(256)) * 10_000
LARGE = blob(CONTENT)
SMALL = blob(b"small")
SOURCE = f"/v2/from/blobs/{LARGE.digest}"
EDGES = [0, 1, len(CONTENT) // 2, len(CONTENT) - 1]


@pytest.fixture
def origin():
    """Where the blob is read from; it understands Range."""
    with FakeRegistry() as fake:
        fake.script("GET", SOURCE, serve)
        yield fake


def serve(request: Received) -> Answer:
    told = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    start = int(told[1]) if told else 0
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if told else {}
    return Answer(206 if told else 200, headers, CONTENT[start:])


@pytest.fixture
def in_patches(monkeypatch):
    """As if the blob were larger than what goes in one PUT."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)


def reader(origin: FakeRegistry) -> BlobReader:
    return Client(Endpoint(origin.url, name="from"), side="source").blob_reader("from", LARGE)


def send(origin: FakeRegistry, target: FakeRegistry, **options) -> None:
    Client(Endpoint(target.url, name="to"), side="target", **options).upload("a", LARGE, reader(origin))


def starts(origin: FakeRegistry) -> list[int]:
    """Where each reading of the blob began."""
    return [int(one.headers.get("Range", "bytes=0-")[6:-1]) for one in origin.received("GET")]


@pytest.mark.usefixtures("in_patches")
@pytest.mark.parametrize("after", [1_500_000, len(CONTENT) - 1])
def test_interrupted_patch_goes_on_where_it_broke_and_reads_the_source_by_range(origin, monkeypatch, after):
    monkeypatch.setattr("sync.oci.blob_reading.MARK_EVERY", MEBIBYTE)
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.method for one in target.requests] == ["POST", "PATCH", "GET", "PATCH", "PUT"]
        second = target.received("PATCH")[1]
        assert second.headers["Content-Range"] == f"{after}-{len(CONTENT) - 1}"
        assert second.body == CONTENT[after:]
    assert starts(origin)[0] == 0
    assert after - 2 * MEBIBYTE < starts(origin)[1] <= after
    assert starts(origin)[1] > 0


@pytest.mark.usefixtures("in_patches")
@pytest.mark.parametrize("after", [0, 1])
def test_session_that_holds_next_to_nothing_is_begun_anew(origin, after):
    """0-0 is told of a session with no byte as well as of one with one."""
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert len(target.received("DELETE")) == 1


@pytest.mark.parametrize("after", EDGES)
def test_put_that_breaks_is_sent_anew(origin, after):
    with ResumingRegistry() as target:
        target.cut_bodies("PUT", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert target.sessions == {}


@pytest.mark.usefixtures("in_patches")
def test_session_that_is_forgotten_is_begun_anew(origin):
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, 1_500_000)
        target.script("GET", target.uploads, Answer(404))
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.body for one in target.received("PATCH")] == [CONTENT[:1_500_000], CONTENT]


@pytest.mark.parametrize("descriptor", [LARGE, SMALL], ids=["large", "small"])
def test_session_that_is_forgotten_before_its_end_is_begun_anew(origin, descriptor):
    content = reader(origin) if descriptor is LARGE else [b"small"]
    with ResumingRegistry() as target:
        client = Client(Endpoint(target.url))
        upload = client.start_upload("a")
        target.sessions.clear()
        client.upload("a", descriptor, content, upload)
        assert list(target.blobs) == [descriptor.digest]


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


def test_third_step_that_breaks_goes_on_in_its_middle(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.STEP", MEBIBYTE)
    with ResumingRegistry(most=MEBIBYTE) as target:
        target.cut_bodies("PATCH", target.uploads, None, None, 100_000)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        last = target.received("PATCH")[-1]
        assert last.headers["Content-Range"] == f"{2 * MEBIBYTE + 100_000}-{len(CONTENT) - 1}"


@pytest.mark.usefixtures("in_patches")
def test_registry_that_has_less_than_was_sent_is_asked_how_much(origin):
    """416 to a step: another worker of the registry had seen more, or less, than its answer said."""
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, 1_500_000)

        def tell(request: Received) -> Answer:
            answer = target._tell(request)
            target.script("GET", target.uploads, target._tell)
            return Answer(204, {**answer.headers, "Range": "0-99999"})

        target.script("GET", target.uploads, tell)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.method for one in target.requests] == ["POST", "PATCH", "GET", "PATCH", "GET", "PATCH", "PUT"]


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


@pytest.mark.parametrize("way", ["patch", "steps"])
def test_registry_that_forgets_every_session_before_its_end_is_left(origin, monkeypatch, way):
    """Getting as far as before is no getting on: it would go round for ever."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    monkeypatch.setattr("sync.oci.blob_sending.STEP", MEBIBYTE)
    with ResumingRegistry(most=MEBIBYTE if way == "steps" else None) as target:
        target.script("PUT", target.uploads, Answer(404))
        with pytest.raises(NotFound):
            send(origin, target)
        assert len(target.received("PUT")) <= 5
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


FORGED = Answer(body=bytes([CONTENT[0] ^ 1]) + CONTENT[1:])


@pytest.mark.parametrize("way", ["put", "patch"])
def test_wrong_bytes_are_read_once_more(origin, monkeypatch, way):
    if way == "patch":
        monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    origin.script("GET", SOURCE, FORGED, serve)
    with ResumingRegistry() as target:
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert target.sessions == {}


@pytest.mark.parametrize(
    "bad",
    [FORGED, Answer(body=CONTENT + b"x"), Answer(body=CONTENT[:-1]), Answer(body=FORGED.body, chunked=True)],
    ids=["wrong", "long", "short", "wrong and of no told length"],
)
def test_bytes_that_stay_wrong_are_never_published(origin, bad):
    origin.script("GET", SOURCE, bad)
    with ResumingRegistry() as target:
        with pytest.raises(DigestMismatch) as caught:
            send(origin, target)
        assert (caught.value.side, caught.value.operation) == ("source", f"read blob from@{LARGE.digest}")
        assert len(target.received("PUT")) <= 2
        assert (target.blobs, target.sessions) == ({}, {})


def test_digest_that_the_target_disputes_is_sent_once_more(origin):
    disputed = Answer(400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}')
    with ResumingRegistry() as target:
        target.script("PUT", target.uploads, disputed, target._complete)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        target.script("PUT", target.uploads, disputed)
        with pytest.raises(Rejected, match="DIGEST_INVALID"):
            send(origin, target)
        assert target.sessions == {}


@pytest.mark.usefixtures("in_patches")
@pytest.mark.parametrize("cut", [*EDGES, len(CONTENT)])
def test_source_that_breaks_off_does_not_disturb_the_upload(origin, cut):
    origin.script("GET", SOURCE, Answer(body=CONTENT, cut=cut), serve)
    with ResumingRegistry() as target:
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.method for one in target.requests] == ["POST", "PATCH", "PUT"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length told", "length not told"])
def test_blob_that_trickles_longer_than_the_time_limit_arrives(origin, chunked):
    origin.script("GET", SOURCE, Answer(body=CONTENT, pieces=6, chunked=chunked))
    with ResumingRegistry() as target:
        source = Client(Endpoint(origin.url, read_timeout=0.4))
        to = Client(Endpoint(target.url, read_timeout=0.4))
        to.upload("a", LARGE, source.blob_reader("from", LARGE))
        assert target.blobs == {LARGE.digest: CONTENT}


def test_target_that_stalls_is_left_after_the_time_limit(origin):
    with ResumingRegistry() as target:
        target.script("PUT", target.uploads, Answer(wait=True), target._complete)
        Client(Endpoint(target.url, read_timeout=0.3)).upload("a", LARGE, reader(origin))
        assert target.blobs == {LARGE.digest: CONTENT}


def test_cancelled_between_two_tries(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 15.0)
    stop = threading.Event()
    with ResumingRegistry() as target:

        def fail(_: Received) -> Answer:
            stop.set()
            return Answer(503)

        target.script("PUT", target.uploads, fail)
        with pytest.raises(Cancelled):
            send(origin, target, cancelled=stop.is_set)
        assert target.sessions == {}


def test_blob_that_is_read_again_from_its_middle_is_proven_all_the_same(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_reading.MARK_EVERY", MEBIBYTE)
    read = reader(origin)
    assert b"".join(map(bytes, read(0))) == CONTENT
    assert b"".join(map(bytes, read(2_000_000))) == CONTENT[2_000_000:]
    origin.script("GET", SOURCE, lambda request: Answer(body=CONTENT[:-1] + b"?"))
    with pytest.raises(OciError, match="the blob has the digest"):
        list(read(2_000_000))
    assert starts(origin)[1] > 0


def test_blob_without_bytes_goes_through_and_is_not_even_read(fake):
    empty = blob(b"")
    with ResumingRegistry() as target:
        client = Client(Endpoint(target.url))
        client.upload("a", empty, Client(Endpoint(fake.url)).blob_reader("from", empty))
        assert target.blobs == {digest_of(b""): b""}
    assert fake.requests == []
