"""Connections that are kept and limited, requests that are repeated, waits that end."""

import datetime
import socket
import threading
import time
from email.utils import format_datetime
from typing import Any

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import Cancelled, ResponseTooLarge, TooManyRequests
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.support import wait_until

OK = Answer(body=b"ok")


def get(fake: FakeRegistry, path: str = "/x", **options: Any) -> bytes:
    return Transport(Endpoint(fake.url, **options)).request("GET", path).body


def test_connections_are_kept(fake):
    fake.script("GET", "/", OK)
    fake.script("HEAD", "/", OK)
    fake.script("GET", "/big", Answer(body=b"x" * 3_000_000))
    transport = Transport(Endpoint(fake.url))
    for method in ("GET", "HEAD", "GET"):
        transport.request(method, "/x")
        response = transport.request("GET", "/big", stream=True)
        assert sum(map(len, response.chunks())) == 3_000_000
        response.close()
        transport.request("GET", "/404")
    assert fake.connections == 1


def test_connections_are_limited_and_waiting_for_one_can_be_cancelled(fake):
    fake.script("GET", "/", Answer(body=b"x" * 3_000_000))
    stop = threading.Event()
    transport = Transport(Endpoint(fake.url, max_connections=1), cancelled=stop.is_set)
    held = transport.request("GET", "/a", stream=True)
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(Cancelled):
        transport.request("GET", "/b")
    timer.join()
    assert [one.target for one in fake.requests] == ["/a"]
    held.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_failures_are_repeated(fake, status):
    fake.script("GET", "/x", Answer(status), Answer(status), OK)
    assert get(fake) == b"ok"
    assert len(fake.requests) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_connection_that_is_reset_is_tried_again(fake, method):
    fake.script(method, "/x", Answer(drop=True), Answer(drop=True), OK)
    body = b"abc" if method == "PUT" else None
    assert Transport(Endpoint(fake.url)).request(method, "/x", body=body).status == 200
    assert len(fake.requests) == 3


def test_name_that_is_not_found_for_a_moment_is_looked_up_again(fake, monkeypatch):
    look_up, failures = socket.getaddrinfo, [socket.gaierror("temporary failure in name resolution")] * 2

    def moody(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return look_up(*arguments)

    monkeypatch.setattr("socket.getaddrinfo", moody)
    fake.script("GET", "/x", OK)
    assert get(fake) == b"ok"
    assert failures == []


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
def test_lasting_failures_are_not_repeated(fake, status):
    fake.script("GET", "/x", Answer(status))
    assert Transport(Endpoint(fake.url)).request("GET", "/x").status == status
    assert len(fake.requests) == 1


def test_body_of_bytes_is_repeated_whole_and_one_of_blocks_is_not(fake):
    fake.script("PUT", "/x", Answer(503), Answer(201))
    transport = Transport(Endpoint(fake.url))
    assert transport.request("PUT", "/x", body=b"abc").status == 201
    assert [one.body for one in fake.requests] == [b"abc", b"abc"]
    fake.script("PUT", "/y", Answer(503))
    assert transport.request("PUT", "/y", {"Content-Length": "3"}, iter([b"a", b"bc"])).status == 503
    assert [one.body for one in fake.received("PUT", "/y")] == [b"abc"]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_holds_back_every_request_to_the_host(fake, form):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    told = "1" if form == "seconds" else format_datetime(moment, usegmt=True)
    fake.script("GET", "/x", Answer(429, {"Retry-After": told}))
    fake.script("GET", "/y", OK)
    transport = Transport(Endpoint(fake.url), attempts=1)
    assert transport.request("GET", "/x").status == 429
    started = time.monotonic()
    transport.request("GET", "/y")
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize(("status", "held_back"), [(429, True), (503, False)])
def test_too_many_requests_hold_back_every_request_to_the_host_also_when_no_time_is_told(
    fake, monkeypatch, status, held_back
):
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 2.0)
    fake.script("GET", "/x", Answer(status))
    fake.script("GET", "/y", OK)
    transport = Transport(Endpoint(fake.url), attempts=1)
    assert transport.request("GET", "/x").status == status
    started = time.monotonic()
    transport.request("GET", "/y")
    assert (time.monotonic() - started > 0.9) is held_back


def test_a_shorter_wait_does_not_end_a_longer_one(fake):
    transport, late = Transport(Endpoint(fake.url), attempts=1), threading.Event()

    def answer_late(_: object) -> Answer:
        late.wait(10)
        return Answer(429, {"Retry-After": "0"})

    fake.script("GET", "/x", Answer(429, {"Retry-After": "2"}))
    fake.script("GET", "/y", OK)
    fake.script("GET", "/z", answer_late)
    other = threading.Thread(target=lambda: transport.request("GET", "/z"))
    other.start()
    wait_until(lambda: fake.received("GET"))
    started = time.monotonic()
    transport.request("GET", "/x")
    late.set()
    other.join()
    transport.request("GET", "/y")
    assert time.monotonic() - started > 1.5


def test_other_hosts_go_on_while_one_wants_us_to_wait(fake):
    fake.script("GET", "/x", Answer(429, {"Retry-After": "50"}))
    with FakeRegistry() as storage:
        storage.script("GET", "/y", OK)
        transport = Transport(Endpoint(fake.url), attempts=1)
        transport.request("GET", "/x")
        started = time.monotonic()
        assert transport.request("GET", f"{storage.url}/y").body == b"ok"
        assert time.monotonic() - started < 5


def test_too_long_a_wait_is_put_to_the_caller(fake):
    fake.script("GET", "/v2/", Answer(429, {"Retry-After": "86400"}))
    with pytest.raises(TooManyRequests) as caught:
        Client(Endpoint(fake.url)).ping()
    assert (caught.value.retry_after, caught.value.retryable) == (86400, True)
    assert len(fake.requests) == 1


def test_cut_answer_is_asked_for_again(fake):
    fake.script("GET", "/x", Answer(body=b"0123456789", cut=4), Answer(body=b"0123456789"))
    assert get(fake) == b"0123456789"


def test_too_long_an_answer_is_not_read_whole(fake):
    fake.script("GET", "/x", Answer(body=b"x" * 1000))
    with pytest.raises(ResponseTooLarge):
        Transport(Endpoint(fake.url)).request("GET", "/x", limit=999)
    assert len(Transport(Endpoint(fake.url)).request("GET", "/x", limit=1000).body) == 1000
    assert len(fake.requests) == 2


def test_cancellation_ends_waiting(fake):
    fake.script("GET", "/x", Answer(503, {"Retry-After": "50"}))
    transport = Transport(Endpoint(fake.url), cancelled=lambda: bool(fake.requests))
    started = time.monotonic()
    with pytest.raises(Cancelled):
        transport.request("GET", "/x")
    assert time.monotonic() - started < 5


def test_target_is_sent_byte_for_byte(fake):
    fake.script("GET", "/", OK)
    target = "/a%2fb/%7e?_state=a%2fb+c%3D==&sig=a|b{}"
    get(fake, target)
    get(fake, "/a b?é")
    assert [one.target for one in fake.requests] == [target, "/a%20b?%C3%A9"]


def test_received_is_what_was_sent(fake):
    """The fake itself: what other tests conclude from its record holds."""
    fake.script("POST", "/x", lambda request: Answer(body=request.body))
    assert Transport(Endpoint(fake.url)).request("POST", "/x?a=b", {"X-A": "1"}, b"abc").body == b"abc"
    (only,) = fake.requests
    assert isinstance(only, Received)
    assert (only.method, only.target, only.headers["X-A"], only.body) == ("POST", "/x?a=b", "1", b"abc")


def test_what_is_sent_again_unseen_is_checked_again(fake):
    """As when the registry has closed the kept connection meanwhile: whoever lost the right to write must not."""
    fake.script("GET", "/", OK)
    transport = Transport(Endpoint(fake.url))
    transport.request("GET", "/x")
    fake.script("PUT", "/x", Answer(drop=True), OK)
    asked: list[int] = []
    transport.request("PUT", "/x", body=b"tag", check=lambda: asked.append(len(fake.received("PUT"))))
    assert asked == [0, 1]

    def lost() -> None:
        raise Cancelled("lost")

    with pytest.raises(Cancelled):
        transport.request("PUT", "/x", body=b"tag", check=lost)
    assert len(fake.received("PUT")) == 2
    transport.request("GET", "/x")
    assert fake.connections == 2


def test_what_waited_for_a_connection_is_checked_when_it_has_one(fake):
    fake.script("GET", "/", Answer(body=b"x" * 3_000_000))
    transport = Transport(Endpoint(fake.url, max_connections=1))
    held = transport.request("GET", "/a", stream=True)
    freed: list[bool] = []

    def free() -> None:
        freed.append(True)
        held.close()

    timer = threading.Timer(0.2, free)
    timer.start()
    seen: list[bool] = []
    transport.request("PUT", "/b", body=b"tag", check=lambda: seen.append(bool(freed)))
    timer.join()
    assert seen == [True]
