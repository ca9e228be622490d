import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from sync.oci.auth import Authenticator, Challenge, merge_scopes, parse_challenges
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.errors import Denied, ProtocolViolation, RedirectRefused, TooManyRequests, Unauthorized
from sync.oci.transport import Transport
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import image

REALM = "https://auth.example/token"
SECRET = "correct horse battery"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([f'Bearer realm="{REALM}",service="s",scope="repository:a/b:pull,push"'],
         [Challenge("bearer", REALM, "s", "repository:a/b:pull,push")]),
        ([f"bearer Realm={REALM} , Service=s"], [Challenge("bearer", REALM, "s")]),
        ([f"BEARER realm={REALM},service=s,scope=repository:a:pull,push,error=insufficient_scope"],
         [Challenge("bearer", REALM, "s", "repository:a:pull,push", "insufficient_scope")]),
        ([f'Basic realm="x, y", Bearer realm="{REALM}"'], [Challenge("bearer", REALM), Challenge("basic", "x, y")]),
        (['Basic realm="x"', f'Bearer realm="{REALM}"'], [Challenge("bearer", REALM), Challenge("basic", "x")]),
        ([f'Bearer realm="{REALM}", Digest realm="other", Negotiate'], [Challenge("bearer", REALM)]),
        (["Negotiate, Basic"], [Challenge("basic")]),
        ([r'Basic realm="a \"b\""'], [Challenge("basic", 'a "b"')]),
        ([""], []),
        ([], []),
        (["= , ; ==\"\""], []),
    ],
)  # fmt: skip
def test_challenges(headers, expected):
    assert parse_challenges(headers) == expected


def test_scopes_with_equal_rights_are_equal():
    assert merge_scopes("repository:a:push,pull", "repository:a:pull") == ("repository:a:pull,push",)
    assert merge_scopes("repository:h:5/b:pull", "registry:catalog:*") == (
        "registry:catalog:*",
        "repository:h:5/b:pull",
    )
    assert merge_scopes() == ()


def require_token(fake: FakeRegistry, *tokens: str, answer: Answer | None = None) -> None:
    """The fake's repositories want a bearer token; the token endpoint deals out `tokens` one after another."""
    dealt = iter(tokens)
    valid: set[str] = set()

    def deal(_: Received) -> Answer:
        valid.add(token := next(dealt))
        return Answer(body=json.dumps({"token": token, "expires_in": 300}).encode())

    def guard(request: Received) -> Answer:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in valid:
            return answer or Answer(body=b'{"tags":["v1"]}')
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token",service="fake"'})

    fake.script("GET", "/token", deal)
    for method in ("GET", "PUT", "HEAD"):
        fake.script(method, "/v2/", guard)


def scopes_asked(fake: FakeRegistry) -> list[list[str]]:
    return [parse_qs(urlsplit(one.target).query).get("scope", []) for one in fake.received("GET", "/token")]


def test_token_is_asked_for_once_per_scope_and_without_running_into_401_again(fake):
    require_token(fake, "one", "two")
    client = Client(Endpoint(fake.url), Credential("robot", SECRET))
    assert [list(client.tags("a")), list(client.tags("a")), list(client.tags("b"))] == [["v1"]] * 3
    assert scopes_asked(fake) == [["repository:a:pull"], ["repository:b:pull"]]
    assert len(fake.received("GET", "/v2/")) == 4
    sent = [one.headers.get("Authorization", "") for one in fake.requests]
    basic = "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode()
    assert sent == ["", basic, "Bearer one", "Bearer one", basic, "Bearer two"]


def test_anonymous_token(fake):
    require_token(fake, "one")
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1"]
    assert "Authorization" not in fake.received("GET", "/token")[0].headers


def test_threads_share_one_token_request(fake):
    require_token(fake, "one", "two", "three")
    client = Client(Endpoint(fake.url))
    list(client.tags("a"))
    fake.script("GET", "/v2/b", Answer(body=b'{"tags":["v1"]}'))
    start = threading.Barrier(8)

    def ask(_: int) -> list[str]:
        start.wait(10)
        return list(client.tags("b"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [["v1"]] * 8
    assert scopes_asked(fake) == [["repository:a:pull"], ["repository:b:pull"]]


def test_scope_of_the_challenge_is_added(fake):
    ask = f'Bearer realm="{fake.url}/token",scope="repository:a:delete repository:up:pull"'
    fake.script("GET", "/v2/a", Answer(401, {"WWW-Authenticate": ask}), Answer(body=b'{"tags":[]}'))
    fake.script("GET", "/token", Answer(body=b'{"access_token":"t"}'))
    client = Client(Endpoint(fake.url))
    list(client.tags("a"))
    list(client.tags("a"))
    assert scopes_asked(fake) == [["repository:a:delete,pull", "repository:up:pull"]]


def test_refused_token_is_renewed_once_and_the_manifest_sent_again(fake):
    require_token(fake, "one", "two", answer=Answer(201))
    manifest = image()
    refuse = Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'})
    fake.script("PUT", "/v2/", refuse, refuse, Answer(201, {"Docker-Content-Digest": manifest.digest}))
    client = Client(Endpoint(fake.url), side="target")
    with pytest.raises(Unauthorized):
        client.put_manifest("a", "v1", manifest)
    assert [one.headers.get("Authorization") for one in fake.received("PUT")] == [None, "Bearer one"]
    assert client.put_manifest("a", "v1", manifest).digest == manifest.digest
    assert fake.received("PUT")[-1].headers["Authorization"] == "Bearer two"
    assert len(scopes_asked(fake)) == 2


@pytest.mark.parametrize(
    "life", [{}, {"expires_in": 0}, {"expires_in": 5}, {"expires_in": "soon"}, {"expires_in": None}]
)
def test_token_lives_by_our_own_clock_at_least_a_minute(fake, life):
    now = [1000.0]
    issued = {"issued_at": "2099-01-01T00:00:00Z"}
    fake.script("GET", "/token", Answer(body=json.dumps({"token": "t", **issued, **life}).encode()))
    auth = Authenticator(Transport(Endpoint(fake.url)), clock=lambda: now[0])
    auth.answer([Challenge("bearer", "/token")], ["repository:a:pull"], "")
    for seconds, fetched in ((0, 1), (49, 1), (51, 2)):
        now[0] = 1000.0 + seconds
        assert auth.header_for(["repository:a:pull"]) == {"Authorization": "Bearer t"}
        assert len(scopes_asked(fake)) == fetched


def test_token_without_the_right_is_kept_and_not_renewed(fake):
    scope = 'scope="repository:a:pull",error="insufficient_scope"'
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token",{scope}'}))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    client = Client(Endpoint(fake.url))
    for _ in range(3):
        with pytest.raises(Unauthorized):
            client.get_manifest("a", "v1")
    assert len(scopes_asked(fake)) == 1


def test_wrong_password_is_told_as_such_and_not_repeated(fake):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(Unauthorized) as caught:
        Client(Endpoint(fake.url, name="prod-eu"), Credential("robot", SECRET), side="target").ping()
    assert len(fake.received("GET")) == 2
    assert str(caught.value).startswith("Target prod-eu: cannot sign in: the registry answered 401")
    assert "password" in caught.value.hint
    assert SECRET not in repr(caught.value) + repr(Credential("robot", SECRET))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_token_servers_refusal_keeps_its_body_to_itself(fake, status):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}))
    fake.script("GET", "/token", Answer(status, body=f'{{"details":"{SECRET}"}}'.encode()))
    with pytest.raises(Unauthorized, match="refuses the credential") as caught:
        Client(Endpoint(fake.url), Credential("robot", SECRET)).ping()
    assert SECRET not in str(caught.value) + repr(vars(caught.value))


def test_token_servers_429_is_waited_for_and_told(fake):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}))
    fake.script("GET", "/token", Answer(429, {"Retry-After": "7200"}))
    with pytest.raises(TooManyRequests) as caught:
        Client(Endpoint(fake.url)).ping()
    assert caught.value.retry_after == 7200
    assert len(fake.received("GET", "/token")) == 1


@pytest.mark.parametrize("realm", ["http://169.254.169.254/token", "ftp://127.0.0.1/token", "http://[fe80::1]/"])
def test_credentials_are_not_carried_to_odd_realms(fake, realm):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(RedirectRefused):
        Client(Endpoint(fake.url), Credential("robot", SECRET)).ping()


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"token":""}', b'{"token":7}', '{"token":"\\n\u00e9"}'.encode()]
)
def test_answer_without_a_token_is_told(fake, body):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}))
    fake.script("GET", "/token", Answer(body=body))
    with pytest.raises(ProtocolViolation):
        Client(Endpoint(fake.url)).ping()


def test_challenge_may_stand_on_the_root_alone(fake):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token"'}))
    fake.script("GET", "/v2/a", Answer(401), Answer(body=b'{"tags":["v1"]}'))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1"]


FOREIGN = "asks for a credential of its own"


@pytest.mark.parametrize("suffices", [True, False])
def test_another_host_where_a_redirect_led_gets_a_token_that_anybody_may_have_and_never_our_credential(fake, suffices):
    require_token(fake, "one", "two", "three")
    client = Client(Endpoint(fake.url), Credential("robot", SECRET))
    list(client.tags("a"))
    content = image().body
    with FakeRegistry() as stranger:
        challenge = f'Bearer realm="{stranger.url}/token",service="theirs",scope="repository:cdn/a:pull"'

        def guard(request: Received) -> Answer:
            known = suffices and request.headers.get("Authorization") == "Bearer anybodys"
            return Answer(body=content) if known else Answer(401, {"WWW-Authenticate": challenge})

        stranger.script("GET", "/manifest", guard)
        stranger.script("GET", "/token", Answer(body=b'{"token":"anybodys"}'))
        fake.script("GET", "/v2/a/manifests/", Answer(307, {"Location": f"{stranger.url}/manifest"}))
        if suffices:
            for _ in range(2):
                assert client.get_manifest("a", "v1").body == content
        else:
            with pytest.raises(Unauthorized, match=f"127.0.0.1:{stranger.port}.*{FOREIGN}") as caught:
                client.get_manifest("a", "v1")
            assert "password" not in caught.value.hint
        (asked,) = stranger.received("GET", "/token")
        assert parse_qs(urlsplit(asked.target).query) == {"service": ["theirs"], "scope": ["repository:cdn/a:pull"]}
        sent = {one.headers.get("Authorization", "") for one in stranger.requests}
        assert sent == {"", "Bearer anybodys"}
    list(client.tags("b"))
    assert scopes_asked(fake) == [["repository:a:pull"], ["repository:b:pull"]]


def test_a_token_that_anybody_may_have_is_asked_for_again_when_it_has_ended(fake):
    """Before the time that was told for it."""
    content, valid = image().body, ["first"]
    with FakeRegistry() as stranger:
        challenge = f'Bearer realm="{stranger.url}/token",service="theirs"'

        def guard(request: Received) -> Answer:
            known = request.headers.get("Authorization") == f"Bearer {valid[-1]}"
            return Answer(body=content) if known else Answer(401, {"WWW-Authenticate": challenge})

        def give(_: Received) -> Answer:
            return Answer(body=f'{{"token":"{valid[-1]}","expires_in":3600}}'.encode())

        stranger.script("GET", "/manifest", guard)
        stranger.script("GET", "/token", give)
        fake.script("GET", "/v2/a/manifests/", Answer(307, {"Location": f"{stranger.url}/manifest"}))
        client = Client(Endpoint(fake.url))
        for ended in (False, False, True, False):
            if ended:
                valid.append("second")
            assert client.get_manifest("a", "v1").body == content
        assert len(stranger.received("GET", "/token")) == 2


def test_another_host_that_wants_a_password_gets_none(fake):
    with FakeRegistry() as stranger:
        stranger.script("GET", "/", Answer(401, {"WWW-Authenticate": 'Basic realm="theirs"'}))
        fake.script("GET", "/v2/a/manifests/", Answer(307, {"Location": f"{stranger.url}/manifest"}))
        client = Client(Endpoint(fake.url), Credential("robot", SECRET))
        with pytest.raises(Unauthorized, match=FOREIGN):
            client.get_manifest("a", "v1")
        assert [one.headers.get("Authorization") for one in stranger.requests] == [None]


def test_challenge_looked_up_on_the_root_is_not_taken_from_another_host(fake):
    with FakeRegistry() as stranger:
        stranger.script("GET", "/", Answer(401, {"WWW-Authenticate": f'Bearer realm="{stranger.url}/token"'}))
        fake.script("GET", "/v2/", Answer(307, {"Location": f"{stranger.url}/v2/"}))
        fake.script("GET", "/v2/a", Answer(401))
        client = Client(Endpoint(fake.url), Credential("robot", SECRET))
        with pytest.raises(Unauthorized):
            list(client.tags("a"))
        with pytest.raises(Unauthorized, match=FOREIGN):
            client.ping()
        assert [one.target for one in stranger.requests] == ["/v2/", "/v2/"]
        assert not any("Authorization" in one.headers for one in stranger.requests)


@pytest.mark.parametrize("credential", [None, Credential("robot", SECRET)])
def test_open_registry_asks_for_no_credential(fake, credential):
    fake.script("GET", "/v2/", Answer(body=b"{}"))
    client = Client(Endpoint(fake.url), credential)
    client.ping()
    assert not client.asks_for_credential


@pytest.mark.parametrize("credential", [None, Credential("robot", SECRET)])
@pytest.mark.parametrize("challenge", ["Basic realm=x", "Bearer realm=/token"])
def test_registry_with_a_challenge_asks_for_a_credential(fake, challenge, credential):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": challenge}), Answer(body=b"{}"))
    fake.script("GET", "/token", Answer(body=b'{"token":"t"}'))
    client = Client(Endpoint(fake.url), credential)
    with suppress(Unauthorized):  # Basic without a password
        client.ping()
    assert client.asks_for_credential


def test_403_means_no_right_and_is_not_repeated(fake):
    fake.script("GET", "/v2/", Answer(403, body=b'{"errors":[{"code":"DENIED","message":"not yours"}]}'))
    with pytest.raises(Denied) as caught:
        Client(Endpoint(fake.url), Credential("robot", SECRET), side="source").get_manifest("a", "v1")
    error = caught.value
    assert (error.status, error.code, error.message, error.retryable) == (403, "DENIED", "not yours", False)
    assert "does not exist" in error.hint
    assert len(fake.requests) == 1
