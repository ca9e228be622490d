"""Breaking off: no silence of a registry holds a thread that is asked to stop. Every read_timeout here is 60 s."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Cancelled, OciError, ServerFault, Unreachable, UntrustedCertificate
from sync.oci.manifest import Descriptor
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import LAYER, blob
from tests.support import self_signed, wait_until

SOON = 3.0
MIB = bytes(1024 * 1024)
CONTENT = MIB * 4
LARGE = blob(CONTENT)
PATH = f"/v2/a/blobs/{LARGE.digest}"
UPLOADS = "/v2/a/blobs/uploads/"
HUGE = Descriptor(LAYER, "sha256:" + "5" * 64, 5 * 1024**3)
MIDDLING = Descriptor(LAYER, "sha256:" + "6" * 64, 60 * 1024**2)


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def broken_off(work: Callable[[], object], ready: Callable[[], object], *break_off: Callable[[], None]) -> OciError:
    """What `work`, in a thread of its own, raises when it is broken off once `ready` holds: soon, or the test fails."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        wait_until(ready)
        began = time.monotonic()
        for one in break_off:
            one()
        error = future.exception()
    assert time.monotonic() - began < SOON
    assert isinstance(error, OciError)
    return error


def blocks_of(count: int) -> Iterator[bytes]:
    return (MIB for _ in range(count))


# woken at once


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[FakeRegistry, str]]:
    """A fake that speaks https, and its certificate."""
    certificate, key = self_signed("127.0.0.1")
    (tmp_path / "both.pem").write_text(key + certificate)
    with FakeRegistry(tmp_path / "both.pem") as fake:
        yield fake, certificate


def test_wait_for_an_answer_ends_and_is_not_repeated(fake, stop):
    fake.script("GET", "/v2/", Answer(wait=True))
    client = Client(Endpoint(fake.url, name="prod"), side="source", cancelled=stop.is_set)
    error = broken_off(client.ping, lambda: fake.requests, stop.set, client.abort)
    assert isinstance(error, Cancelled)
    assert (error.side, error.registry) == ("source", "prod")
    assert len(fake.requests) == 1


def test_wait_for_an_answer_ends_over_tls(tls, stop):
    fake, certificate = tls
    fake.script("GET", "/x", Answer(wait=True))
    transport = Transport(Endpoint(fake.url, ca_certificate=certificate), cancelled=stop.is_set)
    work = lambda: transport.request("GET", "/x")  # noqa: E731
    assert isinstance(broken_off(work, lambda: fake.requests, stop.set, transport.abort), Cancelled)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wait_for_a_proxy_ends(fake, tls, stop, scheme):
    proxy = tls[0] if scheme == "https" else fake
    proxy.script("CONNECT", "", Answer(wait=True))
    endpoint = Endpoint("https://registry.example", proxy=proxy.url, ca_certificate=tls[1])
    client = Client(endpoint, cancelled=stop.is_set)
    assert isinstance(broken_off(client.ping, lambda: proxy.requests, stop.set, client.abort), Cancelled)


def test_tls_handshake_ends(stop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(Endpoint(f"https://127.0.0.1:{server.getsockname()[1]}"), cancelled=stop.is_set)
        greeted = threading.Event()

        def greet() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            greeted.set()
            connection.recv(65536)  # the rest of the hello; then nothing until the client gives up
            connection.recv(1)
            connection.close()

        answering = threading.Thread(target=greet, daemon=True)
        answering.start()
        assert isinstance(broken_off(client.ping, greeted.is_set, stop.set, client.abort), Cancelled)
        answering.join(SOON)


@pytest.mark.parametrize(("certified", "attempts"), [(False, 4), (False, 0), (True, 4)])
def test_body_that_hangs_ends_and_is_not_asked_for_again(fake, tls, stop, monkeypatch, certified, attempts):
    monkeypatch.setattr("sync.oci.blob_reading.ATTEMPTS", attempts)
    registry = tls[0] if certified else fake
    registry.script("GET", PATH, Answer(body=CONTENT, stall=len(CONTENT) - 1))
    client = Client(Endpoint(registry.url, ca_certificate=tls[1]), cancelled=stop.is_set)
    handed: list[bytes] = []
    error = broken_off(
        lambda: handed.extend(client.read_blob("a", LARGE)), lambda: len(handed) >= 2, stop.set, client.abort
    )
    assert isinstance(error, Cancelled)
    assert len(registry.requests) == 1


def test_request_on_a_connection_that_opens_after_the_abort_is_not_sent(fake, stop, monkeypatch):
    """Looking a name up cannot be woken: what comes of it then is not used."""
    look_up, looking, found = socket.getaddrinfo, threading.Event(), threading.Event()

    def slow(*arguments: object) -> object:
        looking.set()
        found.wait(SOON)
        return look_up(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("socket.getaddrinfo", slow)
    fake.script("GET", "/v2/", Answer(wait=True))
    client = Client(Endpoint(fake.url), cancelled=stop.is_set)
    assert isinstance(broken_off(client.ping, looking.is_set, stop.set, client.abort, found.set), Cancelled)
    assert fake.requests == []


def test_wait_for_a_token_ends_for_all_who_want_it(fake, stop):
    both = threading.Barrier(2, timeout=10)

    def challenge(request: Received) -> Answer:
        both.wait()
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})

    fake.script("GET", "/v2/", challenge)
    fake.script("GET", "/token", Answer(wait=True))
    client = Client(Endpoint(fake.url), Credential("robot", "secret"), cancelled=stop.is_set)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(client.ping)
        error = broken_off(client.ping, lambda: fake.received("GET", "/token"), stop.set, client.abort)
        assert isinstance(error, Cancelled)
        assert isinstance(other.exception(SOON), Cancelled)
    assert len(fake.received("GET", "/token")) == 1


# without cancellation


def test_aborted_request_that_is_not_cancelled_is_repeated_on_a_new_connection(fake):
    fake.script("GET", "/x", Answer(wait=True), Answer(body=b"ok"))
    transport = Transport(Endpoint(fake.url))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(transport.request, "GET", "/x")
        wait_until(lambda: fake.requests)
        transport.abort()
        assert future.result(SOON).body == b"ok"


def test_aborted_request_that_may_not_be_repeated_is_unreachable(fake):
    fake.script("GET", "/v2/", Answer(wait=True))
    client = Client(Endpoint(fake.url), attempts=1)
    assert type(broken_off(client.ping, lambda: fake.requests, client.abort)) is Unreachable


def test_abort_ends_idle_connections_and_later_requests_open_new_ones(fake):
    fake.script("GET", "/v2/", Answer(body=b"{}"))
    client = Client(Endpoint(fake.url))
    client.abort()
    client.ping()
    client.ping()
    assert fake.connections == 1
    client.abort()
    client.abort()
    client.ping()
    client.close()
    client.abort()
    client.ping()
    assert fake.connections == 3


# cleaning up


def gives_up_its_session(fake: FakeRegistry) -> bool:
    return [one.target for one in fake.received("DELETE")] == [f"{UPLOADS}one"]


@pytest.mark.parametrize(("method", "descriptor"), [("PUT", MIDDLING), ("PATCH", HUGE)])
def test_target_that_stops_reading_is_left_and_its_session_given_up(fake, stop, method, descriptor):
    fake.script("POST", UPLOADS, Answer(202, {"Location": f"{UPLOADS}one"}))
    fake.script("DELETE", UPLOADS, Answer(204))
    fake.deaf_to = method
    client = Client(Endpoint(fake.url, max_connections=1), cancelled=stop.is_set)
    work = lambda: client.upload("a", descriptor, blocks_of(5 * 1024))  # noqa: E731
    assert isinstance(broken_off(work, lambda: fake.received(method), stop.set, client.abort), Cancelled)
    assert gives_up_its_session(fake)


@pytest.mark.parametrize("life", [None, 60])
def test_session_is_given_up_with_a_new_token_when_the_old_one_ends_meanwhile(fake, stop, life, monkeypatch):
    """Registries' tokens live for minutes; sending a large blob takes longer."""
    if life:
        monkeypatch.setattr("sync.oci.auth.TOKEN_MARGIN", life)
    challenge = {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}
    fake.script("POST", UPLOADS, Answer(401, challenge), Answer(202, {"Location": f"{UPLOADS}one"}))
    fake.script("GET", "/token", *[Answer(body=b'{"token":"%d"}' % number) for number in range(9)])
    fake.deaf_to = "PATCH"
    client = Client(Endpoint(fake.url), cancelled=stop.is_set)
    work = lambda: client.upload("a", HUGE, blocks_of(5 * 1024))  # noqa: E731
    assert isinstance(broken_off(work, lambda: fake.received("PATCH"), stop.set, client.abort), Cancelled)
    assert gives_up_its_session(fake)
    used = [one.headers["Authorization"] for one in fake.requests if one.method in ("PATCH", "DELETE")]
    assert (len(set(used)) == 2) == bool(life)


def test_giving_a_session_up_holds_nobody_up(fake, monkeypatch):
    monkeypatch.setattr("sync.oci.transport.COURTESY_LIMIT", 0.2)
    fake.script("POST", UPLOADS, Answer(202, {"Location": f"{UPLOADS}one"}))
    fake.script("PUT", UPLOADS, Answer(507))
    fake.script("DELETE", UPLOADS, Answer(wait=True))
    began = time.monotonic()
    with pytest.raises(ServerFault, match="507"):
        Client(Endpoint(fake.url)).upload("a", LARGE, [CONTENT])
    assert time.monotonic() - began < SOON
    assert gives_up_its_session(fake)


def kept_of_uploads(folder: Path) -> list[Path]:
    """The content of open uploads in a registry's folder. Distribution 2.8 leaves an empty hash of ended ones."""
    return list((folder / "content/docker/registry/v2/repositories/a/_uploads").glob("*/data"))


def test_real_registry_keeps_nothing_of_a_large_blob_that_was_stopped(start_registry, tmp_path, stop):
    registry = start_registry(data_dir=tmp_path)
    client = Client(Endpoint(registry.url), cancelled=stop.is_set)

    def content() -> Iterator[bytes]:
        yield from blocks_of(64)
        wait_until(lambda: kept_of_uploads(tmp_path))
        stop.set()
        yield from blocks_of(5 * 1024)

    with pytest.raises(Cancelled):
        client.upload("a", HUGE, content())
    wait_until(lambda: not kept_of_uploads(tmp_path))


def test_real_registry_keeps_nothing_when_the_source_hangs(fake, start_registry, tmp_path, stop):
    """The bytes end early and in good order; the target itself needs no abort()."""
    huge = Answer(headers={"Content-Length": str(HUGE.size)}, body=CONTENT, stall=len(CONTENT))
    fake.script("GET", f"/v2/a/blobs/{HUGE.digest}", huge)
    registry = start_registry(data_dir=tmp_path)
    source = Client(Endpoint(fake.url), side="source", cancelled=stop.is_set)
    target = Client(Endpoint(registry.url), side="target", cancelled=stop.is_set)
    work = lambda: target.upload("a", HUGE, source.read_blob("a", HUGE))  # noqa: E731
    error = broken_off(work, lambda: kept_of_uploads(tmp_path), stop.set, source.abort)
    assert isinstance(error, Cancelled)
    wait_until(lambda: not kept_of_uploads(tmp_path))


# outages


@pytest.mark.parametrize("status", [502, 503, 504])
def test_registry_that_is_away_is_an_outage(fake, status):
    fake.script("GET", "/v2/", Answer(status))
    with pytest.raises(ServerFault) as caught:
        Client(Endpoint(fake.url), attempts=1).ping()
    assert caught.value.outage


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 501, 507])
def test_registry_that_is_there_is_no_outage(fake, status):
    fake.script("GET", "/v2/", Answer(status))
    with pytest.raises(OciError) as caught:
        Client(Endpoint(fake.url), attempts=1).ping()
    assert not caught.value.outage


def test_only_what_waiting_can_mend_is_an_outage():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        Client(Endpoint(f"http://127.0.0.1:{port}"), attempts=1).ping()
    assert caught.value.outage
    assert not UntrustedCertificate("it does not verify").outage
    assert not Cancelled("stopped on request").outage
