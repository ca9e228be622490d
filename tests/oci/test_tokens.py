"""What token servers answer, and how long it holds."""

import json

import pytest

from sync.oci.auth import Authenticator, Challenge
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Unauthorized
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, Received

TAGS = Answer(body=b'{"tags":["v1"]}')


def ask_for_tokens(fake, *, only: str = "") -> None:
    """The fake's repositories want a token: `only` this one, or any."""

    def guard(request: Received) -> Answer:
        sent = request.headers.get("Authorization", "")
        good = sent == f"Bearer {only}" if only else sent.startswith("Bearer ")
        return TAGS if good else Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})

    fake.script("GET", "/v2/", guard)


@pytest.mark.parametrize(
    "answer",
    [
        {"token": "t"},
        {"access_token": "t"},
        {"token": "t", "access_token": "t"},
        {"token": "", "access_token": "t"},
        {"token": None, "access_token": "t"},
    ],
)
def test_token_under_either_name(fake, answer):
    ask_for_tokens(fake, only="t")
    fake.script("GET", "/token", Answer(body=json.dumps(answer).encode()))
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1"]


@pytest.mark.parametrize(
    ("life", "issued"),
    [
        *[(life, "2025-01-01T00:00:00Z") for life in (-1, 0, 1, 59, True, "60", None, float("nan"), 1e308, 10**400)],
        *[(300, issued) for issued in ("2099-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "yesterday", "", None, 17)],
    ],
    ids=lambda told: str(told)[:20],
)
def test_whatever_is_told_of_its_life_one_token_serves_for_many_requests(fake, life, issued):
    ask_for_tokens(fake)
    told = {"token": "t", "expires_in": life, "issued_at": issued}
    fake.script("GET", "/token", Answer(body=json.dumps(told).encode()))
    client = Client(Endpoint(fake.url))
    for _ in range(4):
        assert list(client.tags("a")) == ["v1"]
    assert len(fake.received("GET", "/token")) == 1


def test_token_that_lives_for_long_is_used_for_long_and_no_longer(fake):
    now = [1000.0]
    fake.script("GET", "/token", Answer(body=b'{"token":"t","expires_in":3600}'))
    auth = Authenticator(Transport(Endpoint(fake.url)), clock=lambda: now[0])
    auth.answer([Challenge("bearer", "/token")], ["repository:a:pull"], "")
    for seconds, fetched in ((0, 1), (3589, 1), (3591, 2)):
        now[0] = 1000.0 + seconds
        auth.header_for(["repository:a:pull"])
        assert len(fake.received("GET", "/token")) == fetched


def test_token_that_is_never_good_enough_is_not_asked_for_without_end(fake):
    ask_for_tokens(fake, only="another")
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    with pytest.raises(Unauthorized):
        list(Client(Endpoint(fake.url)).tags("a"))
    assert len(fake.received("GET", "/token")) == 1
    assert len(fake.received("GET", "/v2/")) == 2


def test_repository_that_says_403_to_strangers_serves_those_who_asked_at_the_root(fake):
    """P-21. Whoever runs a rule asks there first."""
    fake.script(
        "GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}), Answer(body=b"{}")
    )
    fake.script("GET", "/v2/a/", lambda one: TAGS if one.headers["Authorization"] == "Bearer t" else Answer(403))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    client = Client(Endpoint(fake.url))
    client.ping()
    assert list(client.tags("a")) == ["v1"]


@pytest.mark.parametrize("status", [429, 503])
def test_token_server_that_asks_for_patience_gets_it(fake, status):
    ask_for_tokens(fake)
    fake.script("GET", "/token", Answer(status, {"Retry-After": "0"}), Answer(body=b'{"token":"t"}'))
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1"]
    assert len(fake.received("GET", "/token")) == 2


def test_relative_realm_and_what_a_token_server_is_asked(fake):
    ask_for_tokens(fake)
    challenge = 'Bearer realm="token?tenant=7",service="it & that"'
    fake.script("GET", "/v2/a/", Answer(401, {"WWW-Authenticate": challenge}), TAGS)
    fake.script("GET", "/v2/token", Answer(body=b'{"token":"t"}'))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    list(Client(Endpoint(fake.url), Credential("robot", "secret")).tags("a"))
    (asked,) = [one for one in fake.requests if "tenant" in one.target]
    query = "tenant=7&service=it+%26+that&scope=repository%3Aa%3Apull&account=robot"
    assert asked.target.partition("?")[2] == query
    assert asked.headers["Authorization"] == Credential("robot", "secret").basic
