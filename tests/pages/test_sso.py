"""Single sign-on against a provider on loopback: who comes in as whom, and what is refused with which words."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client

from sync.models import AuditEntry, Identity
from tests.fakes.oidc import CLIENT, KEYS, SECRET, STRANGER, OpenIdProvider
from tests.pages.html import attributes, elements, texts

BACKENDS = ["axes.backends.AxesStandaloneBackend", "tcrconsole.sso.backend.SingleSignOn"]
LOCAL = ["django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend"]


@pytest.fixture
def provider(settings, db) -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as found:
        settings.OIDC_ISSUER, settings.OIDC_NAME = found.url, "Keycloak"
        settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = CLIENT, SECRET
        settings.AUTHENTICATION_BACKENDS = [*BACKENDS, *LOCAL]
        yield found
        cache.clear()


def begin(client: Client, there: str = "") -> str:
    """Where the provider sends the browser back to."""
    away = client.get("/sso/", {"next": there} if there else {})
    assert away.status_code == 302, away.content.decode()
    back = requests.get(away.headers["Location"], allow_redirects=False, timeout=5)
    assert back.status_code == 302, back.text
    parts = urlsplit(back.headers["Location"])
    return f"{parts.path}?{parts.query}"


def sign_in(client: Client, there: str = ""):
    return client.get(begin(client, there))


def refused(answer, status: int = 403) -> str:
    assert answer.status_code == status
    assert texts(answer.content.decode(), "h1") == ["You are not signed in"]
    return " ".join(texts(answer.content.decode(), "p"))


def signed_in(client: Client) -> User | None:
    return User.objects.filter(pk=client.session.get("_auth_user_id", 0)).first()


def test_without_an_issuer_there_is_no_way(client, db):
    assert client.get("/sso/").status_code == client.get("/sso/callback/").status_code == 404
    assert "Sign in with" not in client.get("/login/").content.decode()


@pytest.mark.parametrize(("algorithm", "basic"), [("RS256", True), ("RS256", False), ("ES256", True)])
def test_who_the_provider_vouches_for_comes_in(algorithm, basic, client, provider):
    provider.algorithm, provider.basic = algorithm, basic
    provider.key = KEYS[algorithm]
    provider.person |= {"email": "ann@example.com", "given_name": "Ann", "family_name": "Lee"}
    answer = sign_in(client, "/help/?a=b")
    assert answer.headers["Location"] == "/help/?a=b"
    ann = User.objects.get()
    assert (ann.username, ann.email, ann.first_name, ann.last_name) == ("ann", "ann@example.com", "Ann", "Lee")
    assert not ann.has_usable_password() and not ann.is_staff and signed_in(client) == ann
    assert client.get("/help/").status_code == 200
    assert AuditEntry.objects.earliest("pk").actor_name == "single sign-on"


def test_the_whole_way_as_a_browser_goes_it(provider, live_server):
    with requests.Session() as browser:
        page = browser.get(f"{live_server.url}/instances/", timeout=20)
        link = next(attributes(a)["href"] for a in elements(page.text, "a") if "/sso/" in attributes(a)["href"])
        page = browser.get(f"{live_server.url}{link}", timeout=20)
        assert page.status_code == 200 and "Sign out" in page.text and ">ann<" in page.text


def test_the_same_person_is_the_same_user_whatever_their_name(client, provider):
    sign_in(client)
    provider.person |= {"preferred_username": "ann.lee", "email": "new@example.com"}
    sign_in(Client())
    ann = User.objects.get()
    assert (ann.username, ann.email) == ("ann", "new@example.com")


def test_another_person_of_the_same_name_or_address_is_somebody_else(client, provider):
    provider.person["email"] = "ann@example.com"
    sign_in(client)
    provider.person["sub"] = "4712"
    other = Client()
    assert "The user ann belongs to somebody else" in refused(sign_in(other)) and signed_in(other) is None
    provider.person["preferred_username"] = "other"
    sign_in(other)
    assert User.objects.count() == Identity.objects.count() == 2


def test_a_user_with_a_password_is_taken_over_only_where_that_is_allowed(client, provider, settings):
    root = User.objects.create_superuser("ann", password="correct horse battery")
    assert "OIDC_ADOPT_USERS" in refused(sign_in(client)) and signed_in(client) is None
    settings.OIDC_ADOPT_USERS = True
    sign_in(client)
    assert signed_in(client) == root


def test_an_identity_that_is_taken_away_is_told_by_the_audit(client, console, provider):
    sign_in(client)
    identity = Identity.objects.get()
    console.post(f"/admin/sync/identity/{identity.pk}/delete/", {"post": "yes"})
    assert not Identity.objects.exists()
    entry = AuditEntry.objects.filter(object_repr=str(identity)).latest("pk")
    assert (entry.actor_name, entry.verb) == ("root", "deleted")


def test_who_is_not_active_stays_outside(client, provider):
    sign_in(client)
    User.objects.update(is_active=False)
    other = Client()
    assert "not active" in refused(sign_in(other)) and signed_in(other) is None


def test_groups_of_the_provider_count_at_each_sign_in(client, provider, settings):
    settings.OIDC_ADMIN_GROUP, settings.OIDC_STAFF_GROUP = "console-admins", "support"
    Group.objects.create(name="team")
    provider.person["groups"] = ["/team", "/console-admins", "unknown", 7, ""]
    sign_in(client)
    ann = User.objects.get()
    assert ann.is_superuser and ann.is_staff and [group.name for group in ann.groups.all()] == ["team"]
    provider.person["groups"] = ["support"]
    sign_in(Client())
    ann.refresh_from_db()
    assert not ann.is_superuser and ann.is_staff and not ann.groups.exists()
    settings.OIDC_CREATE_GROUPS = True
    provider.person["groups"] = "made"
    sign_in(Client())
    ann.refresh_from_db()
    assert not ann.is_staff and ann.groups.get().name == "made"
    del provider.person["groups"]
    sign_in(Client())
    assert not ann.groups.exists()


def test_without_a_claim_for_groups_they_are_given_here(client, provider, settings):
    settings.OIDC_GROUPS_CLAIM = ""
    sign_in(client)
    ann = User.objects.get()
    ann.groups.add(Group.objects.create(name="team"))
    ann.is_staff = True
    ann.save()
    sign_in(Client())
    ann.refresh_from_db()
    assert ann.groups.exists() and ann.is_staff


def test_user_information_adds_to_the_token_if_it_is_of_the_same_person(client, provider):
    Group.objects.create(name="team")
    provider.userinfo = {"sub": "4711", "groups": ["team"], "preferred_username": "mallory"}
    sign_in(client)
    assert User.objects.get(username="ann").groups.exists()
    provider.userinfo["sub"] = "1"
    assert "about somebody else" in refused(sign_in(Client()))


@pytest.mark.parametrize("name", ["two words", "a" * 151, "x\0y"])
def test_a_name_that_cannot_be_one_is_refused(name, client, provider):
    provider.person["preferred_username"] = name
    assert "cannot be a user name" in refused(sign_in(client))


@pytest.mark.parametrize(
    ("claim", "value", "words"),
    [
        ("nonce", "another", "another attempt"),
        ("nonce", "ä", "another attempt"),
        ("aud", "another", "InvalidAudienceError"),
        ("iss", "https://evil.example", "InvalidIssuerError"),
        ("exp", 1, "ExpiredSignatureError"),
        ("azp", "another", "another client"),
        ("sub", None, "MissingRequiredClaimError"),
        ("sub", "x\0y", "cannot be one"),
        ("sub", "x" * 256, "cannot be one"),
    ],
)
def test_a_token_for_something_else_is_refused(claim, value, words, client, provider):
    provider.tamper = lambda claims: claims.pop(claim) if value is None else claims.update({claim: value})
    assert words in refused(sign_in(client)) and not User.objects.exists()


def test_a_token_that_the_provider_did_not_sign_is_refused(client, provider):
    provider.key = STRANGER
    assert "InvalidSignatureError" in refused(sign_in(client))
    provider.algorithm, provider.key = "HS256", SECRET * 3
    assert "signs by HS256" in refused(sign_in(client))
    provider.algorithm, provider.key = "none", None
    assert "signs by none" in refused(sign_in(client)) and not User.objects.exists()


def test_an_answer_to_nobodys_attempt_is_refused(client, provider):
    back = begin(client)
    assert "no attempt of yours" in refused(Client().get(back))
    assert "no attempt of yours" in refused(client.get(f"{back}x"))
    assert client.get(back).status_code == 302
    client.post("/logout/")
    assert "no attempt of yours" in refused(client.get(back))


def test_a_code_cannot_be_brought_in_by_the_form(client, provider):
    back = begin(client)
    answer = Client().post(f"/login/?{urlsplit(back).query}", {"username": "ann", "password": "x"})
    assert answer.status_code == 200 and not User.objects.exists()


def test_what_the_provider_says_of_a_refusal_is_told(client, provider):
    answer = client.get("/sso/callback/", {"error": "access_denied", "error_description": "<b>No</b>"})
    assert "The provider says: &lt;b&gt;No&lt;/b&gt;." in answer.content.decode() and answer.status_code == 403


def test_a_wrong_secret_and_a_provider_that_is_away_are_told(client, provider, settings):
    settings.OIDC_RP_CLIENT_SECRET = "wrong"
    assert "HTTP status 401" in refused(sign_in(client), 502)
    back = begin(client)
    provider.__exit__()
    assert "cannot be reached" in refused(client.get(back), 502)
    cache.clear()
    assert "cannot be reached" in refused(client.get("/sso/"), 502)


@pytest.mark.parametrize(
    ("discovery", "words"), [({"issuer": "https://other.example"}, "calls itself"), ({"jwks_uri": None}, "cannot be")]
)
def test_a_provider_that_is_another_is_refused(discovery, words, client, provider):
    provider.discovery = discovery
    answer = client.get("/sso/")
    assert words in (refused(answer) if answer.status_code == 403 else refused(sign_in(client), 502))


@pytest.mark.parametrize("there", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere_afterwards(there, client, provider):
    assert sign_in(client, there).headers["Location"] == "/"


def test_the_login_page_offers_what_there_is(client, provider, settings):
    page = client.get("/login/?next=/help/").content.decode()
    assert 'href="/sso/?next=%2Fhelp%2F"' in page or 'href="/sso/?next=/help/"' in page
    assert "Sign in with Keycloak" in page and 'type="password"' in page
    settings.OIDC_ONLY, settings.AUTHENTICATION_BACKENDS = True, [*BACKENDS, LOCAL[1]]
    User.objects.create_superuser("root", password="correct horse battery")
    page = client.get("/login/").content.decode()
    assert "Sign in with Keycloak" in page and 'type="password"' not in page
    client.post("/login/", {"username": "root", "password": "correct horse battery"})
    assert signed_in(client) is None


def test_failures_at_the_provider_lock_nobody_out(client, provider):
    provider.key = STRANGER
    for _ in range(7):
        refused(sign_in(client))
    User.objects.create_user("bob", password="correct horse battery")
    assert client.post("/login/", {"username": "bob", "password": "correct horse battery"}).status_code == 302


def test_the_session_ends_whatever_one_does(client, provider, settings):
    sign_in(client)
    assert 0 < client.session.get_expiry_age() <= settings.SESSION_COOKIE_AGE
    ends = client.session.get_expiry_date()
    session = client.session
    session["anything"] = 1
    session.save()
    assert client.session.get_expiry_date() == ends
