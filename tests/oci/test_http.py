"""Answers as they stand on the wire: kept connections, odd ends, and what is no HTTP (RFC 9110, RFC 9112)."""

import gzip
import zlib

import pytest

from sync.oci.client import Client
from sync.oci.errors import DigestMismatch, ProtocolViolation, ResponseTooLarge, Unreachable
from sync.oci.places import Endpoint
from sync.oci.transport import Transport
from tests.fakes.raw import RawServer
from tests.fakes.registry import Answer
from tests.oci.artifacts import blob, image

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


def once(server: RawServer) -> Transport:
    """Whatever goes wrong is not tried again."""
    return Transport(Endpoint(server.url), attempts=1)


def test_connection_that_was_closed_while_it_was_idle_is_replaced_without_a_word():
    """Registries, and what stands before them, close idle connections at any time."""
    with RawServer(OK) as server:
        transport = once(server)
        for count in (1, 2, 3):
            assert transport.request("GET", "/x").body == b"ok"
            server.wait_for_ends(count)
        assert len(server.asked) == 3


def test_body_that_can_be_sent_once_is_never_begun_on_a_connection_that_was_closed():
    with RawServer(OK, CREATED) as server:
        transport = once(server)
        transport.request("GET", "/x")
        server.wait_for_ends(1)
        assert transport.request("PUT", "/x", {"Content-Length": "3"}, iter([b"a", b"bc"])).status == 201
        assert [one.split()[0] for one in server.asked] == ["GET", "PUT"]


def test_connection_that_is_not_to_be_kept_is_not_used_again(fake):
    fake.script("GET", "/x", Answer(headers={"Connection": "close"}, body=b"ok"))
    transport = Transport(Endpoint(fake.url))
    for _ in range(2):
        transport.request("GET", "/x")
    assert fake.connections == 2


def test_connection_that_was_idle_for_long_is_not_used_again(fake, monkeypatch):
    fake.script("GET", "/x", Answer(body=b"ok"))
    transport = Transport(Endpoint(fake.url))
    transport.request("GET", "/x")
    monkeypatch.setattr("sync.oci.pool.KEPT_SECONDS", -1)
    transport.request("GET", "/x")
    assert fake.connections == 2


def test_connection_is_not_used_again_when_its_answer_was_left_unread(fake):
    fake.script("GET", "/x", Answer(body=b"x" * 3_000_000))
    transport = Transport(Endpoint(fake.url), attempts=1)
    transport.request("GET", "/x", stream=True).close()
    assert len(transport.request("GET", "/x").body) == 3_000_000
    assert fake.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length:2, 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n01;name=value\r\nk\r\n0\r\nTrailer: x\r\n\r\n",
    ],
    ids=["no length", "HTTP 1.0", "no reason", "length told twice", "interim answers", "chunks and trailers"],
)
def test_odd_answers_that_are_understood(answer):
    with RawServer(answer) as server:
        assert once(server).request("GET", "/x").body == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
    ids=[
        "nothing", "no HTTP", "half a head", "two lengths", "no length at all", "no header", "unknown coding",
        "no size of a chunk", "too long a chunk", "no last chunk", "endless head",
    ],
)  # fmt: skip
def test_answers_that_cannot_be_trusted_are_broken_connections(answer):
    with RawServer(answer) as server, pytest.raises(Unreachable) as caught:
        once(server).request("GET", "/x")
    assert caught.value.retryable


def test_blob_without_a_told_length_is_cut_by_its_digest_alone():
    """Where nothing tells the end, an end is no proof (P-37)."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with RawServer(head + b"cont", head + b"content") as server:
        assert b"".join(Client(Endpoint(server.url)).read_blob("a", blob(b"content"))) == b"content"
    with RawServer(head + b"cont") as server, pytest.raises(DigestMismatch, match="shorter"):
        list(Client(Endpoint(server.url)).read_blob("a", blob(b"content")))


def test_manifest_without_a_told_length_is_proven_by_its_digest():
    manifest = image()
    with RawServer(b"HTTP/1.1 200 OK\r\n\r\n" + manifest.body + b" ") as server, pytest.raises(DigestMismatch):
        Client(Endpoint(server.url)).get_manifest("a", manifest.digest)


# answers that are compressed though nobody asked for it


def test_no_compressed_answers_are_asked_for(fake):
    Transport(Endpoint(fake.url)).request("GET", "/x")
    assert fake.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate"])
def test_compressed_answer_is_understood(fake, coding):
    packed = zlib.compress(b"hello") if coding == "deflate" else gzip.compress(b"hello")
    fake.script("GET", "/x", Answer(headers={"Content-Encoding": coding}, body=packed))
    assert Transport(Endpoint(fake.url)).request("GET", "/x").body == b"hello"


def test_compressed_answer_is_unpacked_no_further_than_the_limit(fake):
    packed = gzip.compress(bytes(50_000_000))
    fake.script("GET", "/x", Answer(headers={"Content-Encoding": "gzip"}, body=packed))
    with pytest.raises(ResponseTooLarge):
        Transport(Endpoint(fake.url)).request("GET", "/x", limit=len(packed) + 1000)


def test_answer_that_is_not_compressed_as_it_says(fake):
    fake.script("GET", "/x", Answer(headers={"Content-Encoding": "gzip"}, body=b"hello"))
    with pytest.raises(ProtocolViolation, match="not compressed as it says"):
        Transport(Endpoint(fake.url)).request("GET", "/x")


def test_compressed_manifest_is_what_its_digest_says(fake):
    manifest = image()
    fake.script("GET", "/v2/a/", Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(manifest.body)))
    assert Client(Endpoint(fake.url)).get_manifest("a", manifest.digest).body == manifest.body


def test_blob_is_never_unpacked_whatever_its_label(fake):
    """Layers are compressed content, not compressed answers (P-50)."""
    packed = gzip.compress(b"layer")
    fake.script("GET", "/v2/a/blobs/", Answer(headers={"Content-Encoding": "gzip"}, body=packed))
    assert b"".join(Client(Endpoint(fake.url)).read_blob("a", blob(packed))) == packed
