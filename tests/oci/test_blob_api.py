import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from sync.oci.client import Client, Credential, Endpoint, Upload
from sync.oci.errors import (
    Cancelled,
    DigestMismatch,
    NotFound,
    ProtocolViolation,
    RedirectRefused,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from sync.oci.manifest import Descriptor
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import LAYER, blob

CONTENT = bytes(range(256)) * 10_000
LARGE = blob(CONTENT)
SMALL = blob(b"small")
PATH = f"/v2/a/blobs/{LARGE.digest}"
UPLOADS = "/v2/a/blobs/uploads/"
SHA512 = "sha512:" + "0" * 128


def client(fake, **options) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="source", **options)


def read(fake, descriptor=LARGE, offset=0) -> bytes:
    return b"".join(client(fake).read_blob("a", descriptor, offset))


# reading


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


# mounting

MOUNT = f"{UPLOADS}?mount="


def test_mount_that_succeeds_is_one_request(fake):
    fake.script("POST", MOUNT, Answer(201))
    assert client(fake).mount("a", LARGE.digest, "b/c") is None
    (only,) = fake.requests
    assert parse_qs(urlsplit(only.target).query) == {"mount": [LARGE.digest], "from": ["b/c"]}


def test_mount_asks_for_both_repositories_in_one_token(fake):
    ask = Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})
    fake.script("POST", MOUNT, ask, Answer(201))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    assert client(fake).mount("a", LARGE.digest, "b") is None
    scopes = parse_qs(urlsplit(fake.received("GET", "/token")[0].target).query)["scope"]
    assert scopes == ["repository:a:pull,push", "repository:b:pull"]


def test_mount_answered_202_is_used_for_the_upload(fake):
    fake.script("POST", MOUNT, Answer(202, {"Location": f"{UPLOADS}one?_state=s"}))
    fake.script("PUT", f"{UPLOADS}one", Answer(201))
    open_upload = client(fake).mount("a", SMALL.digest, "b")
    client(fake).upload("a", SMALL, [b"small"], open_upload)
    assert [one.method for one in fake.requests] == ["POST", "PUT"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_refused_mount_becomes_a_plain_upload(fake, status):
    fake.script("POST", MOUNT, Answer(status))
    fake.script("POST", UPLOADS, Answer(202, {"Location": f"{UPLOADS}one"}))
    assert client(fake).mount("a", SMALL.digest, "b") == Upload(f"{fake.url}{UPLOADS}one")
    assert fake.requests[-1].target == UPLOADS


def test_mount_that_meets_a_fault_is_an_error(fake):
    fake.script("POST", MOUNT, Answer(500))
    with pytest.raises(ServerFault):
        client(fake).mount("a", SMALL.digest, "b")


# uploading


def opens(fake: FakeRegistry, location: str) -> None:
    fake.script("POST", UPLOADS, Answer(202, {"Location": location}))


@pytest.mark.parametrize(
    ("location", "put"),
    [
        (f"{UPLOADS}one?_state=a%2fb+c==&x", f"{UPLOADS}one?_state=a%2fb+c==&x&digest="),
        (f"{UPLOADS}one", f"{UPLOADS}one?digest="),
        ("one?_state=s", f"{UPLOADS}one?_state=s&digest="),
    ],
)
def test_location_is_kept_byte_for_byte(fake, location, put):
    opens(fake, location)
    fake.script("PUT", UPLOADS, Answer(201, {"Docker-Content-Digest": LARGE.digest}))
    client(fake).upload("a", LARGE, [CONTENT[:1000], b"", CONTENT[1000:]])
    sent = fake.requests[-1]
    assert sent.target == put + LARGE.digest.replace(":", "%3A")
    assert sent.body == CONTENT
    assert sent.headers["Content-Length"] == str(len(CONTENT))


def test_empty_blob_is_uploaded(fake):
    opens(fake, f"{UPLOADS}one")
    fake.script("PUT", UPLOADS, Answer(201))
    client(fake).upload("a", blob(b""), [])
    assert fake.requests[-1].headers["Content-Length"] == "0"


def test_absolute_location_on_another_host_gets_no_credentials(fake):
    with FakeRegistry() as storage:
        storage.script("PUT", "/one", Answer(201))
        fake.script(
            "POST", UPLOADS, Answer(401, {"WWW-Authenticate": "Basic"}), Answer(202, {"Location": f"{storage.url}/one"})
        )
        Client(Endpoint(fake.url), Credential("robot", "secret")).upload("a", SMALL, [b"small"])
        assert storage.requests[0].body == b"small"
        assert "Authorization" not in storage.requests[0].headers


def test_locations_that_are_refused(fake):
    opens(fake, "http://169.254.169.254/one?sig=s3cret")
    with pytest.raises(RedirectRefused) as caught:
        client(fake).upload("a", SMALL, [b"small"])
    assert "s3cret" not in str(caught.value)
    fake.script("POST", UPLOADS, Answer(202))
    with pytest.raises(ProtocolViolation, match="Location"):
        client(fake).upload("a", SMALL, [b"small"])
    assert "s3cret" not in repr(Upload("https://x/?s3cret"))


def test_small_blob_is_sent_again_by_itself(fake):
    opens(fake, f"{UPLOADS}one")
    fake.script("PUT", UPLOADS, Answer(503), Answer(201))
    client(fake).upload("a", SMALL, iter([b"small"]))
    assert [one.body for one in fake.received("PUT")] == [b"small", b"small"]


def test_very_large_blob_goes_in_a_patch_and_an_empty_put(fake, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    opens(fake, f"{UPLOADS}one?_state=s")
    fake.script("PATCH", f"{UPLOADS}one?_state=s", Answer(202, {"Location": f"{UPLOADS}two?_state=t"}))
    fake.script("PUT", f"{UPLOADS}two?_state=t&digest=", Answer(503), Answer(201))
    client(fake).upload("a", LARGE, [CONTENT[:1000], CONTENT[1000:]])
    assert [one.method for one in fake.requests] == ["POST", "PATCH", "PUT", "PUT"]
    assert [one.body for one in fake.requests] == [b"", CONTENT, b"", b""]


@pytest.mark.parametrize("size", [len(CONTENT) - 1, 0])
def test_very_large_blob_of_another_size_is_never_completed_and_its_new_session_given_up(fake, monkeypatch, size):
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    opens(fake, f"{UPLOADS}one")
    fake.script("PATCH", f"{UPLOADS}one", Answer(202, {"Location": f"{UPLOADS}two"}))
    with pytest.raises(DigestMismatch, match=f"there are {size} bytes to send"):
        client(fake).upload("a", LARGE, [CONTENT[:size]])
    assert [(one.method, one.target) for one in fake.requests[-2:]] == [
        ("PATCH", f"{UPLOADS}one"), ("DELETE", f"{UPLOADS}two"),
    ]  # fmt: skip


def test_blob_that_the_source_does_not_have_is_not_worth_repeating(fake):
    opens(fake, f"{UPLOADS}one")
    with pytest.raises(NotFound) as caught:
        client(fake).upload("a", LARGE, client(fake).read_blob("a", LARGE))
    assert (caught.value.operation, caught.value.retryable) == (f"read blob a@{LARGE.digest}", False)


def test_failed_upload_gives_its_session_up_and_tells_the_first_failure(fake):
    opens(fake, f"{UPLOADS}one?_state=s")
    fake.script("PUT", UPLOADS, Answer(507))
    fake.script("DELETE", UPLOADS, Answer(500))
    with pytest.raises(ServerFault) as caught:
        client(fake).upload("a", LARGE, [CONTENT])
    assert caught.value.status == 507
    assert caught.value.operation == f"upload blob a@{LARGE.digest}"
    assert [one.target for one in fake.received("DELETE")] == [f"{UPLOADS}one?_state=s"]


def test_token_that_dies_in_a_large_upload_is_an_error_worth_repeating(fake):
    opens(fake, f"{UPLOADS}one")
    challenge = {"WWW-Authenticate": f'Bearer realm="{fake.url}/token",error="invalid_token"'}
    fake.script("POST", UPLOADS, Answer(401, challenge), Answer(202, {"Location": f"{UPLOADS}one"}))
    fake.script("GET", "/token", Answer(body=b'{"token":"one"}'), Answer(body=b'{"token":"two"}'))
    fake.script("PUT", UPLOADS, Answer(401, challenge), Answer(201))
    uploader = client(fake)
    with pytest.raises(Unauthorized) as caught:
        uploader.upload("a", LARGE, [CONTENT])
    assert caught.value.retryable
    uploader.upload("a", LARGE, [CONTENT])
    assert [one.headers["Authorization"] for one in fake.received("PUT")] == ["Bearer one", "Bearer two"]


def test_forgotten_session_is_worth_repeating(fake):
    opens(fake, f"{UPLOADS}one")
    with pytest.raises(NotFound) as caught:
        client(fake).upload("a", LARGE, [CONTENT])
    assert caught.value.retryable


@pytest.mark.parametrize("chunks", [[CONTENT[:-1]], [CONTENT, b"x"]])
def test_content_of_another_size_is_never_completed(fake, chunks):
    opens(fake, f"{UPLOADS}one")
    fake.script("PUT", UPLOADS, Answer(201))
    with pytest.raises(DigestMismatch, match="bytes to send"):
        client(fake).upload("a", LARGE, chunks)
    assert all(len(one.body) < len(CONTENT) for one in fake.received("PUT"))
    assert len(fake.received("DELETE")) == 1


def test_wrong_bytes_of_the_source_never_complete_an_upload(fake):
    with FakeRegistry() as origin:
        origin.script("GET", PATH, Answer(body=CONTENT[:-1] + b"?"))
        opens(fake, f"{UPLOADS}one")
        fake.script("PUT", UPLOADS, Answer(201))
        with pytest.raises(DigestMismatch) as caught:
            client(fake).upload("a", LARGE, Client(Endpoint(origin.url, "from"), side="source").read_blob("a", LARGE))
    assert caught.value.registry == "from"
    assert not any(len(one.body) == len(CONTENT) for one in fake.received("PUT"))


def test_another_digest_in_the_answer_is_a_failure(fake):
    opens(fake, f"{UPLOADS}one")
    fake.script("PUT", UPLOADS, Answer(201, {"Docker-Content-Digest": digest_of(b"other")}))
    with pytest.raises(DigestMismatch):
        client(fake).upload("a", SMALL, [b"small"])


def test_cancelled_upload_still_gives_its_session_up(fake):
    opens(fake, f"{UPLOADS}one")
    stop = threading.Event()

    def blocks():
        yield CONTENT[:1_000_000]
        stop.set()
        yield CONTENT[1_000_000:]

    with pytest.raises(Cancelled):
        client(fake, cancelled=stop.is_set).upload("a", LARGE, blocks())
    assert len(fake.received("DELETE")) == 1
