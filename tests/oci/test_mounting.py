"""What becomes of a mount: always the blob, or a session to send it in."""

from urllib.parse import parse_qs, urlsplit

import pytest

from sync.oci.client import Client, Credential, Endpoint, Upload
from sync.oci.errors import ServerFault
from sync.oci.places import origin
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.fakes.uploads import ResumingRegistry
from tests.oci.artifacts import blob

SMALL = blob(b"small")
UPLOADS = "/v2/a/blobs/uploads/"
MOUNT = f"{UPLOADS}?mount="


def client(fake, **options) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="source", **options)


def test_mount_that_succeeds_is_one_request(fake):
    fake.script("POST", MOUNT, Answer(201))
    assert client(fake).mount("a", SMALL.digest, "b/c") is None
    (only,) = fake.requests
    assert parse_qs(urlsplit(only.target).query) == {"mount": [SMALL.digest], "from": ["b/c"]}


def test_mount_asks_for_both_repositories_in_one_token(fake):
    ask = Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})
    fake.script("POST", MOUNT, ask, Answer(201))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    assert client(fake).mount("a", SMALL.digest, "b") is None
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


@pytest.mark.parametrize("status", [201, 202, 400, 404])
def test_mount_that_names_no_repository_ends_with_the_blob_in_place(status):
    """201: the registry looked for it itself; 202: it does not know that way; 4xx: it refuses it (P-15)."""
    with ResumingRegistry() as fake:
        if status != 202:
            fake.script("POST", f"{fake.uploads}?mount=", Answer(status))
        client = Client(Endpoint(fake.url))
        upload = client.mount("a", SMALL.digest, "")
        assert "from=" not in fake.requests[0].target
        assert (upload is None) == (status == 201)
        if upload:
            client.upload("a", SMALL, [b"small"], upload)
            assert fake.blobs == {SMALL.digest: b"small"}
            assert len(fake.received("POST")) == (1 if status == 202 else 2)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_mount_without_the_right_to_read_the_other_repository_is_a_plain_upload(fake, status):
    """The token server gives nothing for both together: the target alone is asked for (P-12)."""

    def deal(request: Received) -> Answer:
        return Answer(status) if "repository%3Ab%3Apull" in request.target else Answer(body=b'{"token":"t"}')

    def guard(request: Received) -> Answer:
        if request.headers.get("Authorization") == "Bearer t":
            return Answer(202, {"Location": f"{UPLOADS}one"})
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})

    fake.script("GET", "/token", deal)
    fake.script("POST", UPLOADS, guard)
    client = Client(Endpoint(fake.url), Credential("robot", "secret"))
    assert client.mount("a", SMALL.digest, "b") == Upload(f"{fake.url}{UPLOADS}one")
    assert fake.requests[-1].target == UPLOADS


def test_least_size_of_a_step_is_learned_from_the_answer():
    with ResumingRegistry(least_step=5_242_880) as fake:
        assert Client(Endpoint(fake.url)).start_upload("a").least_step == 5_242_880


def test_default_port_in_a_location_makes_no_other_registry():
    assert origin("https://r.example:443/x") == origin("https://R.example/y")
    assert origin("http://r.example:80/x") == origin("http://r.example/")
    assert origin("https://r.example:444/x") != origin("https://r.example/")


def test_session_may_move_to_another_host_at_any_step(monkeypatch):
    """Each answer names the next place; our credential stays at home (P-02, P-03)."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", 1)
    monkeypatch.setattr("sync.oci.blob_sending.BUFFERED_UPLOAD", 1)
    with FakeRegistry() as home, FakeRegistry() as storage:
        challenge = Answer(401, {"WWW-Authenticate": "Basic"})
        home.script("POST", UPLOADS, challenge, Answer(202, {"Location": f"{storage.url}/one?sig=x%2fy"}))
        storage.script("PATCH", "/one", Answer(202, {"Location": f"{home.url}{UPLOADS}two?_state=s"}))
        home.script("PUT", f"{UPLOADS}two", Answer(201))
        Client(Endpoint(home.url), Credential("robot", "secret")).upload("a", SMALL, [b"small"])
        (patch,) = storage.requests
        assert (patch.target, patch.body) == ("/one?sig=x%2fy", b"small")
        assert "Authorization" not in patch.headers
        assert home.requests[-1].headers["Authorization"].startswith("Basic ")
