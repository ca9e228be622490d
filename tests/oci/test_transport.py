import datetime
import logging
import socket
import threading
import time
from email.utils import format_datetime
from typing import Any

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import (
    Cancelled,
    DigestMismatch,
    PlainHttpRefused,
    ProtocolViolation,
    RedirectRefused,
    Rejected,
    ResponseTooLarge,
    ServerFault,
    TooManyRequests,
    Unreachable,
    UntrustedCertificate,
)
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import image
from tests.support import self_signed

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


def test_too_long_a_wait_is_put_to_the_caller(fake):
    fake.script("GET", "/v2/", Answer(429, {"Retry-After": "86400"}))
    with pytest.raises(TooManyRequests) as caught:
        Client(Endpoint(fake.url)).ping()
    assert (caught.value.retry_after, caught.value.retryable) == (86400, True)
    assert len(fake.requests) == 1


def test_lasting_fault_is_reported_with_the_registrys_own_words(fake):
    fake.script("GET", "/v2/", Answer(500, body=b'{"errors":[{"code":"UNKNOWN","message":"disk","detail":"full"}]}'))
    with pytest.raises(ServerFault, match="500 UNKNOWN “disk: full”") as caught:
        Client(Endpoint(fake.url)).ping()
    assert caught.value.retryable
    assert len(fake.requests) == 4


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


def test_proxy_of_the_environment(fake, monkeypatch):
    monkeypatch.setenv("http_proxy", fake.url)
    monkeypatch.setenv("no_proxy", "direct.invalid")
    fake.script("GET", "http://registry.example/v2/", Answer(body=b"{}"))
    Client(Endpoint("http://registry.example", allow_plain_http=True)).ping()
    with pytest.raises(Unreachable, match="not known"):
        Client(Endpoint("http://direct.invalid", allow_plain_http=True), attempts=1).ping()
    assert len(fake.requests) == 1


def test_proxy_that_refuses_is_named(fake):
    fake.script("CONNECT", "", Answer(403))
    with pytest.raises(Unreachable, match="proxy"):
        Client(Endpoint("https://registry.example", proxy=fake.url), attempts=1).ping()


# redirects


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


def test_host_name_that_leads_to_a_link_local_address_is_refused_before_anything_is_sent(fake, monkeypatch):
    monkeypatch.setattr("sync.oci.connection.is_link_local", lambda address: address == "127.0.0.1")
    with pytest.raises(RedirectRefused, match="link-local"):
        get(fake)
    assert fake.requests == []


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


def test_log_of_retries_tells_host_and_port(fake, caplog):
    caplog.set_level(logging.INFO, "sync.oci.transport")
    fake.script("GET", "/x", Answer(503), Answer(body=b"0123456789", cut=4), OK)
    get(fake, "/x?sig=s3cret")
    assert [one.levelname for one in caplog.records] == ["INFO", "INFO"]
    assert all(f"127.0.0.1:{fake.port}/x" in one.message for one in caplog.records)


# secrets


def test_no_query_and_no_token_gets_into_logs_or_errors(fake, caplog):
    caplog.set_level(logging.DEBUG)
    leak = "no: /v2/a?_state=s3cret https://u:s3cret@h/x?sig=s3cret Bearer s3crets3cret eyJhbGciOi.s3cret.s3cret"
    fake.script("GET", "/x", Answer(503, body=leak.encode()))
    response = Transport(Endpoint(fake.url), attempts=2).request(
        "GET", "/x?sig=s3cret", {"Authorization": "Bearer s3cret"}
    )
    error = response.error()
    assert error.message.startswith("no: /v2/a?")
    with pytest.raises(Unreachable) as caught:
        Transport(Endpoint("http://127.0.0.1:1"), attempts=2).request("GET", "/x?sig=s3cret")
    chain = [caught.value, caught.value.__cause__]
    assert "s3cret" not in caplog.text + str(error) + repr(vars(error)) + "".join(map(repr, chain))


def test_words_of_the_registry_are_trimmed(fake):
    fake.script("GET", "/v2/", Answer(400, body=b"x" * 100_000))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    assert len(caught.value.message) == 500
    fake.script("GET", "/v2/", Answer(400, body=b"<html>nginx"))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    assert caught.value.message == ""


def test_words_of_the_registry_can_be_stored_and_shown(fake):
    message = rb'"a\u0000b\u001b[31m\ud800\u202ec\nd\u0085e","detail":"\udfff"'
    fake.script("GET", "/v2/", Answer(400, body=rb'{"errors":[{"code":"A\u0000\ud800B","message":%s}]}' % message))
    with pytest.raises(Rejected) as caught:
        Client(Endpoint(fake.url)).ping()
    error = caught.value
    assert (error.code, error.message) == ("A\ufffd\ufffdB", "a\ufffdb\ufffd[31m\ufffd\ufffdc d e: \ufffd")
    assert f"{error}{error.problem}{error.args}".isprintable()


def test_whatever_part_of_an_answer_is_quoted_can_be_stored(fake):
    manifest = image()
    fake.script("PUT", "/v2/a/", Answer(201, {"Docker-Content-Digest": "\x01" * 5000}))
    with pytest.raises(DigestMismatch) as caught:
        Client(Endpoint(fake.url)).put_manifest("a", "v1", manifest)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


# certificates


def test_own_certificate_is_refused_until_it_is_given(tmp_path):
    text, key = self_signed("127.0.0.1")
    path = tmp_path / "both.pem"
    path.write_text(key + text)
    with FakeRegistry(certificate=path) as fake:
        fake.script("GET", "/v2/", Answer(body=b"{}"))
        with pytest.raises(UntrustedCertificate, match=r"self.signed") as caught:
            Client(Endpoint(fake.url)).ping()
        assert not caught.value.retryable
        Client(Endpoint(fake.url, ca_certificate=text)).ping()
        with pytest.raises(UntrustedCertificate, match=r"[Hh]ostname mismatch"):
            Client(Endpoint(fake.url.replace("127.0.0.1", "localhost"), ca_certificate=text)).ping()


def test_certificate_that_is_none_is_told():
    with pytest.raises(UntrustedCertificate, match=r"cannot be read.*PEM"):
        Client(Endpoint("https://127.0.0.1", ca_certificate="nonsense")).ping()


def test_received_is_what_was_sent(fake):
    """The fake itself: what other tests conclude from its record holds."""
    fake.script("POST", "/x", lambda request: Answer(body=request.body))
    assert Transport(Endpoint(fake.url)).request("POST", "/x?a=b", {"X-A": "1"}, b"abc").body == b"abc"
    (only,) = fake.requests
    assert isinstance(only, Received)
    assert (only.method, only.target, only.headers["X-A"], only.body) == ("POST", "/x?a=b", "1", b"abc")
