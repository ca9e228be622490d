"""Blobs are read whole and right, whatever a registry makes of a Range."""

import threading

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Cancelled, DigestMismatch, NotFound, Unreachable
from sync.oci.manifest import Descriptor
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import LAYER, blob

CONTENT = bytes(range(256)) * 10_000
LARGE = blob(CONTENT)
SMALL = blob(b"small")
PATH = f"/v2/a/blobs/{LARGE.digest}"
SHA512 = "sha512:" + "0" * 128


def client(fake, **options) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="source", **options)


def read(fake, descriptor=LARGE, offset=0) -> bytes:
    return b"".join(client(fake).read_blob("a", descriptor, offset))


def test_blob_is_read_in_blocks_of_a_mebibyte(fake):
    fake.script("GET", PATH, Answer(body=CONTENT))
    blocks = list(client(fake).read_blob("a", LARGE))
    assert b"".join(blocks) == CONTENT
    assert max(map(len, blocks)) == 1024 * 1024


def test_blob_by_sha512_and_empty_blob(fake):
    wide = Descriptor(LAYER, digest_of(b"wide", SHA512), 4)
    fake.script("GET", f"/v2/a/blobs/{wide.digest}", Answer(body=b"wide"))
    fake.script("GET", f"/v2/a/blobs/{blob(b'').digest}", Answer(body=b""))
    assert read(fake, wide) == b"wide"
    assert read(fake, blob(b"")) == b""


def ranged(request: Received) -> Answer:
    start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    told = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return Answer(206, {"Content-Range": told}, CONTENT[start:])


CUT = Answer(body=CONTENT, cut=1_500_000)


def test_broken_read_goes_on_with_range(fake):
    fake.script("GET", PATH, CUT, ranged)
    assert read(fake) == CONTENT
    start = int(fake.requests[1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 1_500_000


@pytest.mark.parametrize(
    "odd",
    [
        [Answer(body=CONTENT)],
        [Answer(206, {"Content-Range": "bytes 7-9/100"}, b"789"), Answer(body=CONTENT)],
        [Answer(206, {}, b"789"), Answer(body=CONTENT)],
        [Answer(416), Answer(body=CONTENT)],
    ],
)
def test_what_registries_make_of_a_range_never_corrupts(fake, odd):
    fake.script("GET", PATH, CUT, *odd)
    assert read(fake) == CONTENT


def test_read_from_an_offset(fake):
    fake.script("GET", PATH, ranged)
    assert read(fake, offset=1_000_000) == CONTENT[1_000_000:]


def test_wrong_bytes_are_never_handed_out_whole(fake):
    fake.script("GET", PATH, Answer(body=CONTENT[:-1] + b"?"))
    handed = bytearray()
    with pytest.raises(
        DigestMismatch, match=f"Source prod: cannot read blob a@{LARGE.digest}: the blob has the digest"
    ):
        for block in client(fake).read_blob("a", LARGE):
            handed += block
    assert len(handed) < len(CONTENT)


def test_longer_and_shorter_blobs_are_refused(fake):
    fake.script("GET", PATH, Answer(body=CONTENT + b"x"))
    with pytest.raises(DigestMismatch, match="longer"):
        read(fake)
    short = f"/v2/a/blobs/{SMALL.digest}"
    fake.script("GET", short, Answer(body=b"sma"))
    with pytest.raises(DigestMismatch, match="shorter"):
        read(fake, SMALL)


def test_read_that_never_gets_on_ends(fake):
    fake.script("GET", PATH, CUT, Answer(body=CONTENT, cut=0))
    with pytest.raises(Unreachable):
        read(fake)


def test_missing_blob(fake):
    with pytest.raises(NotFound, match="cannot read blob a@"):
        read(fake)


def test_blob_is_fetched_where_the_registry_sends_us_without_our_credentials(fake):
    with FakeRegistry() as storage:
        storage.script("GET", "/b?sig=x%2fy", Answer(body=CONTENT, cut=1_500_000), ranged)
        fake.script("GET", PATH, Answer(401, {"WWW-Authenticate": "Basic"}),
                    Answer(307, {"Location": f"{storage.url}/b?sig=x%2fy"}))  # fmt: skip
        with_password = Client(Endpoint(fake.url), Credential("robot", "secret"))
        assert b"".join(with_password.read_blob("a", LARGE)) == CONTENT
        assert "Authorization" in fake.requests[-1].headers
        assert not any("Authorization" in one.headers for one in storage.requests)


def test_cancellation_ends_a_read(fake):
    fake.script("GET", PATH, Answer(body=CONTENT))
    stop = threading.Event()
    blocks = client(fake, cancelled=stop.is_set).read_blob("a", LARGE)
    next(blocks)
    stop.set()
    with pytest.raises(Cancelled):
        list(blocks)
