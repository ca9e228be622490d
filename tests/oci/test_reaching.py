"""Registries that cannot be reached, or not so."""

import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import PlainHttpRefused, Unreachable
from sync.oci.transport import Transport
from tests.fakes.registry import DRIP_SECONDS, Answer
from tests.fakes.tunnel import Tunnel


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
    error = unreachable("https://no-such-host.invalid")
    assert "host name is not known" in str(error)
    assert error.retryable


def test_silent_registry(fake):
    fake.script("GET", "/v2/", Answer(wait=True))
    assert "stopped answering" in str(unreachable(fake.url, read_timeout=0.2))


def test_time_limit_of_an_answer_is_one_for_silence(fake):
    """However long it takes: whoever says something within the limit is heard to the end."""
    fake.script("GET", "/x", Answer(body=b"x" * 100, pieces=6))
    transport = Transport(Endpoint(fake.url, read_timeout=2.5 * DRIP_SECONDS), attempts=1)
    began = time.monotonic()
    assert len(transport.request("GET", "/x").body) == 100
    assert time.monotonic() - began > 4 * DRIP_SECONDS


def test_answer_that_stops_in_its_middle(fake):
    fake.script("GET", "/v2/", Answer(body=b"x" * 100, stall=50))
    assert "stopped answering" in str(unreachable(fake.url, read_timeout=0.2))


def test_connection_that_does_not_come_about():
    """The queue of this socket is full: no more connections are taken, nor refused."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        began = time.monotonic()
        error = unreachable(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2)
        assert time.monotonic() - began < 5
    assert "no connection within the time limit" in str(error)
    assert error.retryable


@pytest.mark.parametrize("to", ["the registry", "a proxy", "the registry through a proxy"])
def test_tls_that_does_not_come_about(to):
    """Somebody listens, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent, Tunnel(silent.getsockname()[1]) as tunnel:
        place, far = f"https://127.0.0.1:{silent.getsockname()[1]}", "https://registry.invalid"
        ways = {"the registry": (place, ""), "a proxy": (far, place), "the registry through a proxy": (far, tunnel.url)}
        url, proxy = ways[to]
        began = time.monotonic()
        error = unreachable(url, proxy=proxy, connect_timeout=0.2, read_timeout=60)
        assert time.monotonic() - began < 5
    assert "stopped answering" in str(error)
    assert error.retryable


def test_proxy_that_keeps_silent(fake):
    fake.script("CONNECT", "", Answer(wait=True))
    error = unreachable("https://registry.invalid", proxy=fake.url, read_timeout=0.2)
    assert "the proxy does not let us through (the registry stopped answering)" in str(error)


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
