"""TLS: whose certificates are trusted, and that nothing leaves it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import RedirectRefused, UntrustedCertificate
from tests.fakes.registry import Answer, FakeRegistry
from tests.oci.artifacts import blob
from tests.support import self_signed

OK = Answer(body=b"{}")
Serve = Callable[[], tuple[FakeRegistry, str]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts registries that speak https, each with a certificate of its own, which comes along."""
    numbers = count(1)
    with ExitStack() as stack:

        def start() -> tuple[FakeRegistry, str]:
            text, key = self_signed("127.0.0.1", f"authority {next(numbers)}")
            path = tmp_path / "both.pem"
            path.write_text(key + text)
            fake = stack.enter_context(FakeRegistry(certificate=path))
            fake.script("GET", "/v2/", OK)
            return fake, text

        yield start


def test_own_certificate_is_refused_until_it_is_given(serve):
    fake, text = serve()
    with pytest.raises(UntrustedCertificate, match=r"self.signed") as caught:
        Client(Endpoint(fake.url)).ping()
    assert not caught.value.retryable
    Client(Endpoint(fake.url, ca_certificate=text)).ping()
    with pytest.raises(UntrustedCertificate, match=r"[Hh]ostname mismatch"):
        Client(Endpoint(fake.url.replace("127.0.0.1", "localhost"), ca_certificate=text)).ping()


def test_authorities_of_the_system_are_trusted_and_those_of_the_instance_besides(serve, tmp_path, monkeypatch):
    """SSL_CERT_FILE names the system's, as OpenSSL knows it."""
    (public, known), (own, given) = serve(), serve()
    (tmp_path / "system.pem").write_text(known)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    Client(Endpoint(public.url)).ping()
    with pytest.raises(UntrustedCertificate):
        Client(Endpoint(own.url)).ping()
    for registry in (public, own):
        Client(Endpoint(registry.url, ca_certificate=given)).ping()
    assert (len(public.requests), len(own.requests)) == (2, 1)


def test_certificate_that_is_none_is_told():
    with pytest.raises(UntrustedCertificate, match=r"cannot be read.*PEM"):
        Client(Endpoint("https://127.0.0.1", ca_certificate="nonsense")).ping()


def test_connections_are_kept_over_tls(serve):
    fake, text = serve()
    client = Client(Endpoint(fake.url, ca_certificate=text))
    for _ in range(3):
        client.ping()
    assert fake.connections == 1
    assert len(fake.requests) == 3


def test_storage_with_a_certificate_of_its_own_needs_to_be_trusted_too(serve):
    (fake, text), (storage, other) = serve(), serve()
    layer = blob(b"layer")
    fake.script("GET", "/v2/a/blobs/", Answer(307, {"Location": f"{storage.url}/b"}))
    storage.script("GET", "/b", Answer(body=b"layer"))
    with pytest.raises(UntrustedCertificate):
        list(Client(Endpoint(fake.url, ca_certificate=text)).read_blob("a", layer))
    assert storage.requests == []
    assert b"".join(Client(Endpoint(fake.url, ca_certificate=text + other)).read_blob("a", layer)) == b"layer"


@pytest.mark.parametrize("allowed", [False, True])
def test_credential_never_leaves_tls_whatever_the_realm_says(fake, serve, allowed):
    """Not even where plain HTTP is allowed: the registry itself speaks TLS (P-20)."""
    registry, text = serve()
    registry.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    endpoint = Endpoint(registry.url, ca_certificate=text, allow_plain_http=allowed)
    with pytest.raises(RedirectRefused, match="from https to plain http"):
        Client(endpoint, Credential("robot", "secret")).ping()
    assert fake.requests == []


@pytest.mark.parametrize("allowed", [False, True])
def test_blobs_leave_tls_only_where_plain_http_is_allowed(fake, serve, allowed, caplog):
    """A storage of one's own beside a registry of one's own (P-35)."""
    registry, text = serve()
    layer = blob(b"layer")
    registry.script("GET", "/v2/a/blobs/", Answer(401, {"WWW-Authenticate": "Basic"}),
                    Answer(307, {"Location": f"{fake.url}/b?sig=s3cret"}))  # fmt: skip
    fake.script("GET", "/b", Answer(body=b"layer"))
    endpoint = Endpoint(registry.url, ca_certificate=text, allow_plain_http=allowed)
    client = Client(endpoint, Credential("robot", "secret"))
    if allowed:
        assert b"".join(client.read_blob("a", layer)) == b"layer"
        assert "Authorization" not in fake.requests[0].headers
    else:
        with pytest.raises(RedirectRefused, match="from https to plain http"):
            list(client.read_blob("a", layer))
        assert fake.requests == []
        assert "refused" in caplog.text
        assert "s3cret" not in caplog.text
