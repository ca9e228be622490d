"""TLS: whose certificates are trusted."""

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import UntrustedCertificate
from tests.fakes.registry import Answer, FakeRegistry
from tests.support import self_signed


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
