"""Which addresses are spoken to, on each of the ways that lead somewhere: what counts is the address connected to."""

import socket
from collections.abc import Callable

import pytest

from demo.artifacts import digest_of
from sync.oci import addresses
from sync.oci.addresses import Policy
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import AddressRefused, OciError, RedirectRefused, Unreachable
from sync.oci.manifest import Descriptor
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry

OK = Answer(body=b"{}")
NEVER = [
    "169.254.169.254",
    "169.254.0.23",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::6464:64c8",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:5601:5601",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "255.255.255.255",
    "240.0.0.1",
]
PRIVATE = [
    *("127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "64:ff9b:1::a00:1"),
]


@pytest.mark.parametrize("address", NEVER)
def test_addresses_that_nobody_reaches(address):
    assert Policy(private=False).refusal(address)
    assert Policy(private=True).refusal(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_only_where_they_are_allowed(address):
    assert Policy(private=False).refusal(address) == "is private"
    assert Policy(private=True).refusal(address) == ""


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"])
def test_public_addresses(address):
    assert Policy(private=False, loopback=False).refusal(address) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine(address):
    assert "loopback" in Policy(loopback=False).refusal(address)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "metadata.google.internal",
            "METADATA.google.internal.",
            "metadata.tencentyun.com",
            "instance-data.ec2.internal",
        ),
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "fe80::1%1"),
    ],
)
def test_names_that_need_no_looking_up(name):
    assert Policy().refusal_of_name(name) == addresses.CREDENTIALS


@pytest.mark.parametrize(
    "name", ["registry.example", "10.example", "10.0.0.1", "metadata.example", "", "münchen.example", "a\0b"]
)
def test_names_that_are_looked_up(name):
    assert Policy().refusal_of_name(name) == ""


Names = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """names(host=[first answer, next answer, ...], ...): a name server; what it was asked. The last answer stays."""
    real = socket.getaddrinfo

    def serve(**answers: list[str]) -> list[str]:
        asked: list[str] = []

        def answer(host, port, *rest, **options):
            told = answers.get(str(host).partition(".")[0])
            if told is None:
                return real(host, port, *rest, **options)
            asked.append(host)
            return real(told.pop(0) if len(told) > 1 else told[0], port, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        return asked

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return serve


def registry_at(fake: FakeRegistry, *, private: bool = True, **options: object) -> Endpoint:
    url = f"http://registry.example:{fake.port}"
    return Endpoint(url, name="prod", allow_plain_http=True, private_addresses=private, **options)  # type: ignore[arg-type]


def test_a_name_of_the_registry_that_leads_to_the_clouds_secrets_is_refused_at_once(fake, names):
    names(registry=["169.254.169.254"])
    with pytest.raises(AddressRefused, match=r"leads to 169.254.169.254, which is where clouds keep") as caught:
        Client(registry_at(fake)).ping()
    assert not caught.value.retryable


def test_a_name_that_led_elsewhere_before_is_judged_anew_for_each_connection(fake, names):
    fake.script("GET", "/v2/", Answer(200, {"Connection": "close"}, b"{}"))
    names(registry=["127.0.0.1", "169.254.169.254"])
    client = Client(registry_at(fake))
    client.ping()
    with pytest.raises(AddressRefused):
        client.ping()
    assert len(fake.requests) == 1


def test_what_the_name_server_said_is_connected_to_without_asking_again(fake, names):
    fake.script("GET", "/v2/", OK)
    asked = names(registry=["127.0.0.1", "169.254.169.254"])
    Client(registry_at(fake)).ping()
    assert asked == ["registry.example"]


def test_a_private_registry_where_private_addresses_are_closed(fake, names):
    names(registry=["127.0.0.1"])
    with pytest.raises(AddressRefused, match="which is private") as caught:
        Client(registry_at(fake, private=False)).ping()
    assert "INSTANCE_PRIVATE_ADDRESSES" in caught.value.hint
    assert fake.requests == []


def test_of_several_addresses_those_that_may_be_reached_are(fake, monkeypatch):
    fake.script("GET", "/v2/", OK)
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, fake.port)) for ip in ("169.254.0.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    Client(registry_at(fake)).ping()
    assert len(fake.requests) == 1


def leads_to(fake: FakeRegistry, hop: str) -> None:
    fake.script("GET", "/v2/a/blobs/", Answer(307, {"Location": hop}))
    fake.script("GET", "/v2/a/manifests/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{hop}"'}))
    fake.script("POST", "/v2/a/blobs/uploads/", Answer(202, {"Location": hop}))
    fake.script("GET", "/x", Answer(307, {"Location": "/y"}))
    fake.script("GET", "/y", Answer(307, {"Location": hop}))


LAYER = Descriptor("application/octet-stream", digest_of(b"x"), 1)
WAYS = {
    "a redirect": lambda endpoint: Transport(endpoint).request("GET", "/v2/a/blobs/x"),
    "the second of two redirects": lambda endpoint: Transport(endpoint).request("GET", "/x"),
    "a token server": lambda endpoint: Client(endpoint, Credential("robot", "secret")).get_manifest("a", "v1"),
    "an upload": lambda endpoint: Client(endpoint).upload("a", LAYER, [b"x"]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "leads", ["169.254.169.254", "fd00:ec2::254", "::ffff:100.100.100.200", "64:ff9b::a9fe:a9fe", "127.0.0.1"]
)
def test_wherever_a_registry_leads_the_address_is_judged(way, leads, fake, names):
    with FakeRegistry() as inside:
        leads_to(fake, f"http://inside.example:{inside.port}/x")
        names(registry=["127.0.0.1"], inside=[leads])
        with pytest.raises(RedirectRefused, match=f"inside.example leads to {leads}"):
            WAYS[way](registry_at(fake))
        assert inside.requests == []


@pytest.mark.parametrize("way", WAYS)
def test_a_registry_that_may_not_be_private_leads_to_no_private_address(way, fake, names, monkeypatch):
    monkeypatch.setattr(Policy, "refusal", _as_if_public(Policy.refusal))
    leads_to(fake, "http://inside.example:1/x")
    names(registry=["127.0.0.1"], inside=["10.0.0.7"])
    with pytest.raises(RedirectRefused, match=r"inside.example leads to 10.0.0.7, which is private"):
        WAYS[way](registry_at(fake, private=False))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hop", ["http://10.0.0.7/x", "http://metadata.google.internal/x", "http://0xa9fea9fe/x"])
def test_what_needs_no_looking_up_is_refused_before_it_is(way, hop, fake, names, monkeypatch):
    monkeypatch.setattr(Policy, "refusal", _as_if_public(Policy.refusal))
    leads_to(fake, hop)
    names(registry=["127.0.0.1"])
    with pytest.raises(RedirectRefused):
        WAYS[way](registry_at(fake, private=False))


def _as_if_public(refusal):
    """The fake registry's own address counts as one of the internet."""
    return lambda policy, address: "" if address == "127.0.0.1" else refusal(policy, address)


# proxies


@pytest.mark.parametrize("private", [True, False])
def test_a_proxy_of_the_instance_is_judged_like_the_instance(private, fake, names):
    fake.script("GET", "http://registry.example/v2/", OK)
    names(registry=["93.184.215.14"], proxy=["127.0.0.1"])
    proxy = f"http://proxy.example:{fake.port}"
    endpoint = Endpoint("http://registry.example", allow_plain_http=True, proxy=proxy, private_addresses=private)
    if private:
        Client(endpoint).ping()
    else:
        with pytest.raises(OciError, match=r"proxy.example leads to 127.0.0.1, which is private"):
            Client(endpoint).ping()
    assert len(fake.requests) == private


def test_a_proxy_of_the_environment_is_the_operators_choice(fake, names, monkeypatch):
    fake.script("GET", "http://registry.example/v2/", OK)
    names(registry=["93.184.215.14"])
    monkeypatch.setenv("http_proxy", fake.url)
    Client(Endpoint("http://registry.example", allow_plain_http=True, private_addresses=False)).ping()
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("url", "private", "refused"),
    [
        ("http://metadata.google.internal", True, True),
        ("http://169.254.169.254", True, True),
        ("http://inside.example", True, False),
        ("http://inside.example", False, True),
        ("http://unknown.invalid", False, False),
    ],
)
def test_behind_a_proxy_names_are_judged_as_far_as_they_are_known_here(url, private, refused, fake, names, monkeypatch):
    """The proxy looks them up itself: what it lets through is its own to say."""
    fake.script("GET", f"{url}/v2/", OK)
    names(inside=["10.0.0.7"])
    monkeypatch.setenv("http_proxy", fake.url)
    client = Client(Endpoint(url, allow_plain_http=True, private_addresses=private))
    if refused:
        with pytest.raises(AddressRefused):
            client.ping()
    else:
        client.ping()
    assert len(fake.requests) == (not refused)


def test_a_name_that_nobody_knows_is_no_refusal(names, fake):
    with pytest.raises(Unreachable, match="not known"):
        Client(Endpoint("https://no-such-host.invalid"), attempts=1).ping()
