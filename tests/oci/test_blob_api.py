"""Sending blobs: where to, how, and what must never be completed."""

import threading

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
)
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry
from tests.oci.artifacts import blob

CONTENT = bytes(range(256)) * 10_000
LARGE = blob(CONTENT)
SMALL = blob(b"small")
PATH = f"/v2/a/blobs/{LARGE.digest}"
UPLOADS = "/v2/a/blobs/uploads/"


def client(fake, **options) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="source", **options)


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
