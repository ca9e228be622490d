"""Through proxies."""

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import Unreachable
from tests.fakes.registry import Answer


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
