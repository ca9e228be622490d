"""Rules that copy to an instance from one that the reader does not see: never named, counted for who administers it."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import SyncRule
from sync.services import grants
from sync.services.grants import Right
from tests.pages.html import elements, texts, words

NONE, NONE_SEEN = "No rule copies to this instance.", "No rule that you may see copies to this instance."


@pytest.fixture
def reader(client: Client, db: None) -> User:
    user = User.objects.create_user("reader")
    client.force_login(user)
    return user


def listed(client: Client) -> str:
    """What the list of instances says of prod-eu."""
    rows = (words(row) for row in elements(client.get("/instances/").content.decode(), "tr"))
    return next(row for row in rows if row.startswith("prod-eu"))


def test_who_only_looks_is_told_neither_a_number_nor_that_there_is_none(client, reader, rule, target):
    grants.grant(Right.VIEW, reader, target)
    page = client.get("/i/prod-eu/").content.decode()
    assert NONE_SEEN in texts(page, "p") and NONE not in page and "do not see" not in page
    assert "0 to here" in listed(client) and "do not see" not in listed(client)
    rule.delete()
    assert NONE_SEEN in texts(client.get("/i/prod-eu/").content.decode(), "p"), "the same, or it would tell"


def test_who_administers_it_is_told_how_many(client, reader, rule, target):
    grants.grant(Right.ADMINISTER, reader, target)
    page = client.get("/i/prod-eu/").content.decode()
    assert "1 rule copies here from instances that you do not see." in texts(page, "p")
    assert NONE not in page and "prod-gz" not in page
    assert "0 to here 1 to here from instances that you do not see" in listed(client)
    rule.delete()
    assert NONE in texts(client.get("/i/prod-eu/").content.decode(), "p")


def test_who_sees_the_source_sees_the_rule(client, reader, rule, source, target):
    for one in (source, target):
        grants.grant(Right.VIEW, reader, one)
    page = client.get("/i/prod-eu/").content.decode()
    assert "web from prod-gz (ap-guangzhou)" in texts(page, "li") and "do not see" not in page
    assert "1 to here" in listed(client)


def test_a_platform_administrator_sees_them_all(console, rule):
    page = console.get("/i/prod-gz/").content.decode()
    assert NONE in texts(page, "p") and "do not see" not in page


def test_taking_a_role_names_no_rule_of_theirs(client, reader, rule, target):
    ann = User.objects.create_user("ann")
    for right, instance, user in (
        (Right.ADMINISTER, target, reader),
        (Right.MANAGE_RULES, rule.source, ann),
        (Right.RECEIVE, target, ann),
    ):
        grants.grant(right, user, instance)
    SyncRule.objects.update(owner=ann, by_platform=False)
    taken = {"who": f"user:{ann.pk}", "role": Right.RECEIVE}
    page = client.post("/i/prod-eu/access/remove/", taken, follow=True).content.decode()
    assert "Suspended for lack of a right: 1 rule of instances that you do not see." in " ".join(texts(page, "p"))
    assert "prod-gz" not in page


def test_a_refused_deletion_names_no_rule_of_theirs(client, reader, rule, target):
    grants.grant(Right.ADMINISTER, reader, target)
    page = client.get("/instances/prod-eu/delete/").content.decode()
    assert "cannot be deleted" in texts(page, "h1")[0] and "prod-gz" not in page
    assert any(said.startswith("rules of instances that you do not see") for said in texts(page, "li"))
