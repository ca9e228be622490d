"""Wrong bytes, and sources that break off or trickle: what arrives is right."""

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import DigestMismatch, OciError, Rejected
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer
from tests.fakes.uploads import ResumingRegistry
from tests.oci.artifacts import blob
from tests.oci.sending import CONTENT, EDGES, LARGE, MEBIBYTE, SOURCE, reader, send, serve, starts

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
