"""Tokens for pipelines: made and shown once, listed, revoked, and never more than their maker."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from sync.models import ApiToken, AuditEntry, Instance
from sync.services import grants, tokens
from sync.services.grants import Right
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.tokens import make_token

TOKENS = "/i/prod-gz/tokens/"
ASKED = {"name": "ci", "role": "operate_instance", "days": "30"}


@pytest.fixture
def ann(source: Instance) -> User:
    user = User.objects.create_user("ann")
    grants.grant(Right.OPERATE, user, source)
    return user


@pytest.fixture
def anns(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


def test_a_token_is_shown_once_and_kept_as_a_hash(anns, ann, source):
    assert "No tokens yet." in anns.get(TOKENS).content.decode()
    answer = anns.post(TOKENS, ASKED)
    page = answer.content.decode()
    secret = words(by_id(page, "copy-token"))
    assert re.fullmatch(r"tcrc_[\w-]{43}", secret)
    assert "no-store" in answer.headers["Cache-Control"]
    token = ApiToken.objects.get()
    assert (token.name, token.role, token.maker, token.instance) == ("ci", "operate_instance", ann, source)
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert secret not in str(vars(token))
    assert tokens.shown_in(f"Bearer {secret}") == token
    page = anns.get(TOKENS).content.decode()
    assert secret not in page
    row = words(next(row for row in elements(page, "tr") if "ci" in words(row)))
    assert all(word in row for word in ("Operator", "ann", "Never", "Active", "Revoke"))


def test_the_audit_tells_who_made_and_revoked_it_and_not_the_token(anns, ann, source):
    secret = words(by_id(anns.post(TOKENS, ASKED).content.decode(), "copy-token"))
    anns.post(f"{TOKENS}{ApiToken.objects.get().pk}/revoke/")
    told = AuditEntry.objects.filter(actor_name="ann").order_by("pk")
    assert [entry.verb for entry in told] == ["made-token", "revoked-token"]
    assert all("ci" in entry.detail and secret not in entry.detail for entry in told)
    assert {entry.object_repr for entry in told} == {str(source)}


def test_sent_again_nothing_is_made(anns):
    anns.post(TOKENS, ASKED)
    answer = anns.post(TOKENS, ASKED)
    assert answer.status_code == 422
    assert "There is a token of this name already" in answer.content.decode()
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "No Spaces"}, {"role": "administer_instance"}, {"days": "366"}, {"days": ""}]
)
def test_what_makes_no_token_is_refused(anns, change):
    answer = anns.post(TOKENS, ASKED | change)
    assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()
    assert not ApiToken.objects.exists()


def test_everybody_sees_and_revokes_their_own_and_admins_all(anns, ann, console, source):
    bob = User.objects.create_user("bob")
    grants.grant(Right.OPERATE, bob, source)
    hers, _ = make_token(source, ann, name="hers")
    his, secret = make_token(source, bob, name="his")
    assert "his" not in [words(head) for head in elements(anns.get(TOKENS).content.decode(), "th")]
    assert anns.post(f"{TOKENS}{his.pk}/revoke/").status_code == 404
    page = console.get(TOKENS).content.decode()
    assert {"hers", "his"} <= {words(head).split()[0] for head in elements(page, "th") if words(head)}
    page = console.post(f"{TOKENS}{his.pk}/revoke/", follow=True).content.decode()
    assert "his is revoked." in " ".join(texts(page, "p"))
    assert tokens.shown_in(f"Bearer {secret}") is None
    page = anns.post(f"{TOKENS}{hers.pk}/revoke/", follow=True).content.decode()
    assert "hers is revoked." in " ".join(texts(page, "p")) and "Revoked" in page
    assert "revoked already" in anns.post(f"{TOKENS}{hers.pk}/revoke/", follow=True).content.decode()


def test_a_token_belongs_to_its_instance(console, ann, source, target):
    token, _ = make_token(source, ann)
    assert console.post(f"/i/{target.name}/tokens/{token.pk}/revoke/").status_code == 404


def test_the_name_of_a_revoked_token_is_free(anns):
    anns.post(TOKENS, ASKED)
    tokens.revoke(ApiToken.objects.get())
    assert anns.post(TOKENS, ASKED).status_code == 200


def lost_role(ann: User, token: ApiToken) -> None:
    grants.revoke(Right.OPERATE, ann, token.instance)
    grants.grant(Right.VIEW, ann, token.instance)


def is_inactive(ann: User, token: ApiToken) -> None:
    User.objects.filter(pk=ann.pk).update(is_active=False)


def expired(ann: User, token: ApiToken) -> None:
    ApiToken.objects.update(expires_at=timezone.now())


def revoked(ann: User, token: ApiToken) -> None:
    tokens.revoke(token)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lost_role, "ann is not Operator any more"),
        (is_inactive, "ann is not active"),
        (expired, "Expired"),
        (revoked, "Revoked"),
    ],
)
def test_a_token_that_lets_nobody_in_says_why(spoil, told, console, ann, source):
    token, secret = make_token(source, ann)
    assert tokens.shown_in(f"Bearer {secret}") == token
    spoil(ann, token)
    assert tokens.shown_in(f"Bearer {secret}") is None
    assert told in [words(cell) for cell in elements(console.get(TOKENS).content.decode(), "td")]


def test_the_role_may_come_by_a_group(source, console):
    team = Group.objects.create(name="team")
    bob = User.objects.create_user("bob")
    bob.groups.add(team)
    grants.grant(Right.MANAGE_RULES, team, source)
    token, secret = make_token(source, bob)
    assert tokens.rights_of(token) == {Right.VIEW, Right.OPERATE}
    assert "Active" in [words(cell) for cell in elements(console.get(TOKENS).content.decode(), "td")]
    bob.groups.clear()
    assert tokens.shown_in(f"Bearer {secret}") is None


def test_of_a_platform_administrator_it_is_the_role_alone(source):
    token, _ = make_token(source, User.objects.create_superuser("root"), "view_instance")
    assert tokens.rights_of(token) == {Right.VIEW}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer tcrc_", "Basic {}", "{}", "Bearer x{}", "Bearer {}\0"])
def test_what_is_no_token(header, ann, source):
    _, secret = make_token(source, ann)
    assert tokens.shown_in(header.format(secret)) is None


def test_pages_lead_to_it(console, anns, source):
    for page, client in ((f"/i/{source.name}/", anns), (f"/i/{source.name}/access/", console)):
        links = [attributes(link).get("href") for link in elements(client.get(page).content.decode(), "a")]
        assert TOKENS in links
