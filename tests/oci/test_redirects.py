"""Where a registry leads us, and where we do not go."""

import socket
from typing import Any

import pytest

from sync.oci.client import Endpoint
from sync.oci.errors import PlainHttpRefused, ProtocolViolation, RedirectRefused
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry

OK = Answer(body=b"ok")


def get(fake: FakeRegistry, path: str = "/x", **options: Any) -> bytes:
    return Transport(Endpoint(fake.url, **options)).request("GET", path).body


def test_redirect_to_another_port_loses_authorization_and_keeps_range(fake):
    with FakeRegistry() as storage:
        storage.script("GET", "/blob?sig=a%2fb", OK)
        fake.script("GET", "/x", Answer(307, {"Location": "/y"}))
        fake.script("GET", "/y", Answer(307, {"Location": f"{storage.url}/blob?sig=a%2fb"}))
        sent = {"Authorization": "Bearer t", "Range": "bytes=1-"}
        assert Transport(Endpoint(fake.url)).request("GET", "/x", sent).body == b"ok"
        assert [one.headers.get("Authorization") for one in fake.requests] == ["Bearer t", "Bearer t"]
        assert "Authorization" not in storage.requests[0].headers
        assert storage.requests[0].headers["Range"] == "bytes=1-"


def test_sibling_of_the_registrys_host_gets_no_credential(fake, monkeypatch):
    """Credentials belong to a scheme, a host and a port, not to a domain (P-33)."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *rest: look_up("127.0.0.1", *rest))
    fake.script("GET", "/x", Answer(307, {"Location": f"http://cdn.registry.localhost:{fake.port}/y"}))
    fake.script("GET", "/y", Answer(307, {"Location": f"http://registry.localhost:{fake.port}/z"}))
    fake.script("GET", "/z", OK)
    transport = Transport(Endpoint(f"http://registry.localhost:{fake.port}"))
    assert transport.request("GET", "/x", {"Authorization": "Bearer t"}).body == b"ok"
    assert [one.headers["Authorization"] for one in fake.requests] == ["Bearer t", None, None]
    assert fake.requests[1].headers["Host"] == f"cdn.registry.localhost:{fake.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_questions_follow_redirects(fake, method, status):
    fake.script(method, "/x", Answer(status, {"Location": "/y"}))
    fake.script(method, "/y", OK)
    assert Transport(Endpoint(fake.url)).request(method, "/x").status == 200
    assert [(one.method, one.target) for one in fake.requests] == [(method, "/x"), (method, "/y")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_writes_is_not_led_elsewhere(fake, method):
    fake.script(method, "/x", Answer(307, {"Location": "/y"}))
    assert Transport(Endpoint(fake.url)).request(method, "/x", body=b"abc").status == 307
    assert [one.target for one in fake.requests] == ["/x"]


def test_circle_of_redirects_ends(fake):
    fake.script("GET", "/x", Answer(302, {"Location": "/x"}))
    with pytest.raises(RedirectRefused):
        get(fake)
    assert len(fake.requests) == 6


@pytest.mark.parametrize(
    ("home", "hop", "error"),
    [
        ("https://r.example", "http://r.example/x", RedirectRefused),
        ("https://r.example", "https://169.254.169.254/latest", RedirectRefused),
        ("https://r.example", "https://[fe80::1]/", RedirectRefused),
        ("https://r.example", "https://2852039166/latest", RedirectRefused),
        ("https://r.example", "https://metadata.google.internal./x", RedirectRefused),
        ("https://r.example", "https://localhost/x", RedirectRefused),
        ("https://r.example", "https://127.0.0.1:5000/x", RedirectRefused),
        ("https://r.example", "https://[::ffff:127.0.0.1]/x", RedirectRefused),
        ("https://r.example", "https://0.0.0.0/x", RedirectRefused),
        ("https://r.example", "file:///etc/passwd", RedirectRefused),
        ("http://localhost", "http://other.example/x", PlainHttpRefused),
        ("http://localhost", "http://me:secret@other.example/x", PlainHttpRefused),
    ],
)
def test_hops_that_are_refused(home, hop, error, caplog):
    with pytest.raises(error) as caught:
        Transport(Endpoint(home)).check_hop(f"{hop}?sig=secret")
    assert "secret" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("location", ["http://[half", "http://host:port/x", "http://h:99999/"])
def test_redirect_to_what_is_no_address(fake, location):
    fake.script("GET", "/x", Answer(302, {"Location": location}))
    with pytest.raises(ProtocolViolation, match="address that is none"):
        get(fake)


def test_host_name_that_leads_to_this_machine_is_refused_unless_the_registry_itself_has_it(fake, monkeypatch):
    look_up = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *rest: look_up("127.0.0.1", *rest))
    monkeypatch.setenv("no_proxy", "*")
    registry = Endpoint(f"http://registry.example:{fake.port}", allow_plain_http=True)
    with FakeRegistry() as inside:
        fake.script("GET", "/x", Answer(307, {"Location": f"http://inside.example:{inside.port}/"}))
        fake.script("GET", "/y", Answer(307, {"Location": f"http://registry.example:{inside.port}/y"}))
        inside.script("GET", "/y", OK)
        with pytest.raises(RedirectRefused, match="loopback"):
            Transport(registry).request("GET", "/x")
        assert inside.requests == []
        assert Transport(registry).request("GET", "/y").body == b"ok"


def test_hops_that_are_fine():
    Transport(Endpoint("https://r.example")).check_hop("https://storage.example/x")
    Transport(Endpoint("http://localhost:1")).check_hop("http://127.0.0.1:2/x")


def test_redirect_to_the_clouds_secrets_is_not_followed(fake, caplog):
    fake.script("GET", "/x", Answer(307, {"Location": "http://169.254.169.254/latest/meta-data"}))
    with pytest.raises(RedirectRefused):
        get(fake)
    assert "refused" in caplog.text
