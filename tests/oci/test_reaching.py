"""Registries that cannot be reached, or not so."""

import socket
from typing import Any

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import PlainHttpRefused, Unreachable
from tests.fakes.registry import Answer


def unreachable(url: str, **options: Any) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        Client(Endpoint(url, name="prod", **options), attempts=1, side="source").ping()
    return caught.value


def test_nobody_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = unreachable(f"http://127.0.0.1:{port}")
    assert str(error).startswith("Source prod: cannot reach the registry: the connection was refused. Check")
    assert error.retryable


def test_unknown_host():
    assert "host name is not known" in str(unreachable("https://no-such-host.invalid"))


def test_silent_registry(fake):
    fake.script("GET", "/v2/", Answer(wait=True))
    assert "stopped answering" in str(unreachable(fake.url, read_timeout=0.2))


def test_no_tls_there(fake):
    error = unreachable(fake.url.replace("http:", "https:"))
    assert "no TLS connection" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("url", ["http://registry.example", "http://10.0.0.1:5000"])
def test_plain_http_is_refused_unless_allowed(url):
    with pytest.raises(PlainHttpRefused, match="allow plain HTTP"):
        Client(Endpoint(url), Credential("a", "b")).ping()


def test_plain_http_can_be_allowed(fake):
    """Through a proxy, which is this fake, so that no packet leaves the machine."""
    fake.script("GET", "http://registry.example/v2/", Answer(body=b"{}"))
    endpoint = Endpoint("http://registry.example", allow_plain_http=True, proxy=fake.url.replace("//", "//me:secret@"))
    Client(endpoint).ping()
    assert fake.requests[0].headers["Host"] == "registry.example"
    assert fake.requests[0].headers["Proxy-Authorization"].startswith("Basic ")
    assert "secret" not in repr(endpoint)
