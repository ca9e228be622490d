"""Through proxies: whose, for what, and what they get to see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Unreachable
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry
from tests.fakes.tunnel import Tunnel
from tests.support import self_signed

OK = Answer(body=b"{}")
# Nobody has this address: only a proxy leads there.
FAR = "203.0.113.7"
NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[FakeRegistry, str]]:
    """A registry that speaks https as if it were far away, and its certificate."""
    certificate, key = self_signed(FAR)
    (tmp_path / "far.pem").write_text(key + certificate)
    with FakeRegistry(tmp_path / "far.pem") as fake:
        fake.script("GET", "/v2/", OK)
        yield fake, certificate


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_https_goes_through_a_tunnel_that_is_kept(far, name, monkeypatch):
    registry, certificate = far
    with Tunnel(registry.port) as tunnel:
        monkeypatch.setenv(name, tunnel.url)
        client = Client(Endpoint(f"https://{FAR}", ca_certificate=certificate))
        for _ in range(3):
            client.ping()
        client.close()
        assert [first for first, _ in tunnel.asked] == [f"CONNECT {FAR}:443 HTTP/1.1"]
    assert len(registry.requests) == 3


def test_who_is_told_which_password(far):
    """The proxy its own, the registry its own, and neither that of the other."""
    registry, certificate = far
    registry.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": "Basic realm=x"}), OK)
    with Tunnel(registry.port) as tunnel:
        proxy = tunnel.url.replace("//", "//me:of%40proxy@")
        endpoint = Endpoint(f"https://{FAR}", ca_certificate=certificate, proxy=proxy)
        Client(endpoint, Credential("robot", "secret")).ping()
        ((_, headers),) = tunnel.asked
    assert headers["Proxy-Authorization"] == "Basic bWU6b2ZAcHJveHk="
    assert headers["Authorization"] is None
    assert [one.headers["Proxy-Authorization"] for one in registry.requests] == [None, None]
    assert registry.requests[1].headers["Authorization"] == Credential("robot", "secret").basic


def test_proxy_that_is_spoken_to_by_tls(far, tmp_path):
    registry, certificate = far
    content = bytes(range(256)) * 10_000
    registry.script("GET", "/large", Answer(body=content))
    registry.script("PUT", "/large", Answer(201))
    own, key = self_signed("127.0.0.1")
    (tmp_path / "proxy.pem").write_text(key + own)
    with Tunnel(registry.port, tmp_path / "proxy.pem") as tunnel:
        transport = Transport(Endpoint(f"https://{FAR}", ca_certificate=certificate + own, proxy=tunnel.url))
        assert transport.request("GET", "/large").body == content
        assert transport.request("PUT", "/large", {"Content-Length": str(len(content))}, iter([content])).status == 201
        transport.close()
    assert registry.requests[-1].body == content


def test_certificate_of_a_registry_behind_a_proxy_is_looked_at(far):
    registry, _ = far
    with Tunnel(registry.port) as tunnel, pytest.raises(Unreachable, match="certificate is not trusted"):
        Client(Endpoint(f"https://{FAR}", proxy=tunnel.url), attempts=1).ping()
    assert registry.requests == []


def test_proxy_of_the_environment(fake, monkeypatch):
    monkeypatch.setenv("http_proxy", fake.url)
    monkeypatch.setenv("no_proxy", "direct.invalid")
    fake.script("GET", "http://registry.example/v2/", Answer(body=b"{}"))
    Client(Endpoint("http://registry.example", allow_plain_http=True)).ping()
    with pytest.raises(Unreachable, match="not known"):
        Client(Endpoint("http://direct.invalid", allow_plain_http=True), attempts=1).ping()
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("no_proxy", "through"),
    [
        ("", True),
        ("other.invalid", True),
        ("try.far.invalid", True),
        ("registry.far.invalid", False),
        ("other.invalid, registry.far.invalid", False),
        ("far.invalid", False),
        (".far.invalid", False),
        ("REGISTRY.far.invalid:5000", False),
        ("*", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_goes_past_the_proxy(fake, name, no_proxy, through, monkeypatch):
    """What goes past it is not found: there is no such host."""
    monkeypatch.setenv("HTTP_PROXY", fake.url)
    monkeypatch.setenv(name, no_proxy)
    fake.script("GET", "http://registry.far.invalid:5000/v2/", OK)
    client = Client(Endpoint("http://registry.far.invalid:5000", allow_plain_http=True), attempts=1)
    if through:
        client.ping()
    else:
        with pytest.raises(Unreachable, match="host name is not known"):
            client.ping()
    assert len(fake.requests) == through


def test_this_machine_is_not_reached_through_the_environments_proxy(fake, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    fake.script("GET", "/v2/", OK)
    Client(Endpoint(fake.url), attempts=1).ping()
    assert len(fake.requests) == 1


def test_proxy_of_the_instance_comes_before_the_environment(fake, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    fake.script("GET", "http://registry.invalid/v2/", OK)
    Client(Endpoint("http://registry.invalid", allow_plain_http=True, proxy=fake.url), attempts=1).ping()
    assert len(fake.requests) == 1


def test_where_a_redirect_leads_is_reached_through_the_proxy_too(fake):
    fake.script("GET", "http://registry.invalid/x", Answer(307, {"Location": "http://storage.invalid/y?sig=a%2fb"}))
    fake.script("GET", "http://storage.invalid/y", Answer(body=b"ok"))
    transport = Transport(Endpoint("http://registry.invalid", allow_plain_http=True, proxy=fake.url))
    assert transport.request("GET", "/x", {"Authorization": "Bearer t"}).body == b"ok"
    assert fake.requests[-1].target == "http://storage.invalid/y?sig=a%2fb"
    assert [one.headers["Authorization"] for one in fake.requests] == ["Bearer t", None]


def test_proxy_that_refuses_is_named(fake):
    fake.script("CONNECT", "", Answer(403))
    with pytest.raises(Unreachable, match="proxy"):
        Client(Endpoint("https://registry.example", proxy=fake.url), attempts=1).ping()


def test_proxy_that_is_not_there_is_named():
    with pytest.raises(Unreachable, match=r"the proxy does not let us through \(the host name is not known\)"):
        Client(Endpoint("https://registry.example", proxy="http://proxy.invalid:3128"), attempts=1).ping()
