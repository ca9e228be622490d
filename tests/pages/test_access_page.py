"""The Access page: roles given and taken, with what follows for rules; pairs of regions."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from sync.models import AuditEntry, Instance, RegionPair, SyncRule
from sync.services import grants
from sync.services.grants import Right
from tests.pages.html import elements, texts, words


@pytest.fixture
def ann(db) -> User:
    return User.objects.create_user("ann")


def test_a_role_is_given_and_taken_away(console, source, ann):
    url = f"/i/{source.name}/access/"
    assert "Nobody has a role here" in console.get(url).content.decode()
    page = console.post(url, {"who": f"user:{ann.pk}", "role": Right.OPERATE}, follow=True).content.decode()
    assert f"ann is now Operator on {source.name}." in " ".join(texts(page, "p"))
    assert "ann Person" in words(next(elements(page, "table"))) and Right.OPERATE in grants.rights_on(ann, source)
    page = console.post(f"{url}remove/", {"who": f"user:{ann.pk}", "role": Right.OPERATE}, follow=True).content.decode()
    assert f"ann is no longer Operator on {source.name}." in " ".join(texts(page, "p"))
    assert not grants.rights_on(User.objects.get(pk=ann.pk), source)


def test_a_role_takes_the_place_of_those_beside_it(console, source, ann):
    def give(role: Right) -> str:
        url = f"/i/{source.name}/access/"
        page = console.post(url, {"who": f"user:{ann.pk}", "role": role}, follow=True).content.decode()
        return " ".join(texts(page, "p"))

    for role in (Right.VIEW, Right.RECEIVE, Right.OVERWRITE, Right.DELETE):
        give(role)
    assert f"ann is now Operator on {source.name}, no longer Viewer." in give(Right.OPERATE)
    assert f"ann is now Viewer on {source.name}, no longer Operator." in give(Right.VIEW)
    held = {right for somebody, right in grants.granted_on(source) if somebody == ann}
    assert held == {Right.VIEW, Right.OVERWRITE, Right.DELETE}


def test_a_group_has_a_role(console, source, ann):
    team = Group.objects.create(name="team")
    ann.groups.add(team)
    console.post(f"/i/{source.name}/access/", {"who": f"group:{team.pk}", "role": Right.VIEW})
    assert grants.rights_on(ann, source) == {Right.VIEW}
    assert "team" in console.get("/access/").content.decode()


@pytest.mark.parametrize("values", [{"who": "", "role": "receive"}, {"who": "user:1", "role": "root"}, {}])
def test_what_is_no_role_of_nobody_is_refused(console, source, values):
    answer = console.post(f"/i/{source.name}/access/", values)
    assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()


@pytest.mark.parametrize(
    "values",
    [{}, {"who": "user:x", "role": "receive"}, {"who": "cat:1", "role": "receive"}, {"who": "user:1", "role": ""}],
)
def test_nonsense_takes_nothing_away(console, source, values):
    assert console.post(f"/i/{source.name}/access/remove/", values).status_code == 404


def test_it_says_which_rules_are_suspended_and_go_on(console, rule, ann):
    for right, instance in ((Right.MANAGE_RULES, rule.source), (Right.RECEIVE, rule.target)):
        grants.grant(right, ann, instance)
    SyncRule.objects.update(owner=ann, by_platform=False)
    url = f"/i/{rule.target.name}/access/"
    values = {"who": f"user:{ann.pk}", "role": Right.RECEIVE}
    page = console.post(f"{url}remove/", values, follow=True).content.decode()
    assert f"Suspended for lack of a right: {rule}." in " ".join(texts(page, "p"))
    page = console.post(url, values, follow=True).content.decode()
    assert f"No longer suspended: {rule}." in " ".join(texts(page, "p"))


def test_an_instance_administrator_gives_roles_on_that_instance_alone(client, source, target, ann):
    grants.grant(Right.ADMINISTER, ann, source)
    client.force_login(ann)
    page = client.get("/access/").content.decode()
    assert source.name in page and f"/i/{target.name}/access/" not in page and "Regions" not in texts(page, "h2")
    bob = User.objects.create_user("bob")
    client.post(f"/i/{source.name}/access/", {"who": f"user:{bob.pk}", "role": Right.VIEW})
    assert grants.rights_on(bob, source) == {Right.VIEW}
    assert client.post(f"/i/{target.name}/access/", {"who": f"user:{bob.pk}", "role": Right.VIEW}).status_code == 404


def test_pairs_of_regions_are_added_and_removed(console, rule):
    Instance.objects.filter(pk=rule.source.pk).update(region="eu")
    Instance.objects.filter(pk=rule.target.pk).update(region="cn")
    page = console.post(
        "/access/regions/", {"source": "cn", "target": "eu", "sure": "on"}, follow=True
    ).content.decode()
    assert f"Suspended because of their regions: {rule}." in " ".join(texts(page, "p")) and "cn to eu" in page
    assert console.post("/access/regions/", {"source": "cn", "target": "eu"}).status_code == 422
    assert console.post("/access/regions/", {"source": "cn", "target": "mars"}).status_code == 422
    pair = RegionPair.objects.get()
    page = console.post(f"/access/regions/{pair.pk}/remove/", {"sure": "on"}, follow=True).content.decode()
    assert f"No longer suspended: {rule}." in " ".join(texts(page, "p"))


def test_the_first_pair_asks_back_and_names_what_it_would_stop(console, rule):
    Instance.objects.filter(pk=rule.source.pk).update(region="eu")
    Instance.objects.filter(pk=rule.target.pk).update(region="cn")
    off = SyncRule.objects.create(
        name="off", source=rule.source, source_namespace="x", target=rule.target, enabled=False
    )
    page = console.post("/access/regions/", {"source": "cn", "target": "eu"}).content.decode()
    assert not RegionPair.objects.exists()
    assert texts(page, "h1") == ["Allow cn to eu as the first pair?"]
    assert "1 enabled rule is suspended:" in texts(page, "strong") and "prod-gz/web, from eu to cn" in page
    assert str(off) not in page
    page = console.post("/access/regions/", {"source": "eu", "target": "cn"}).content.decode()
    assert "No enabled rule is suspended by it." in page
    console.post("/access/regions/", {"source": "eu", "target": "cn", "sure": "on"})
    console.post("/access/regions/", {"source": "cn", "target": "eu"})
    assert RegionPair.objects.count() == 2, "those after it allow more, and are not asked for"


def test_the_first_pair_tells_of_rules_that_are_suspended_already(console, rule):
    SyncRule.objects.update(by_platform=False)
    grants.review(SyncRule.objects.all())
    page = console.post("/access/regions/", {"source": "Frankfurt", "target": "ap-guangzhou"}).content.decode()
    assert "No enabled rule is suspended by it that is not suspended already." in texts(page, "li")
    assert "1 rule that is suspended already is forbidden, too:" in texts(page, "strong")
    assert "prod-gz/web, from ap-guangzhou to Frankfurt" in texts(page, "li")


def test_the_last_pair_asks_back_because_it_opens_everything(console, rule):
    for source, target in (("Frankfurt", "ap-guangzhou"), ("Frankfurt", "Frankfurt")):
        grants.allow_regions(RegionPair(source=source, target=target))
    last, other = RegionPair.objects.order_by("-target")
    console.post(f"/access/regions/{other.pk}/remove/")
    assert RegionPair.objects.get() == last, "while others are left nothing is opened, and nothing asked"
    audit = AuditEntry.objects.filter(content_type__model="regionpair").order_by("-id")
    assert str(audit[0]) == f"root: Forbade copying from {other}"
    page = console.post(f"/access/regions/{last.pk}/remove/").content.decode()
    assert RegionPair.objects.exists() and texts(page, "h1") == [f"Remove {last}, the last pair?"]
    assert "1 suspended rule goes on at once:" in texts(page, "strong")
    assert "prod-gz/web, from ap-guangzhou to Frankfurt" in texts(page, "li")
    page = console.post(f"/access/regions/{last.pk}/remove/", {"sure": "on"}, follow=True).content.decode()
    assert not RegionPair.objects.exists() and not SyncRule.objects.get().suspension
    assert any("Rules may join any regions again." in said for said in texts(page, "p"))
    assert str(audit[0]) == "root: Allowed copying from any region to any other"
    assert audit[0].detail == f"The last pair, {last}, was removed: without pairs rules may join any regions."


def test_a_region_is_changed_by_platform_administrators_once_there_are_pairs(console, client, rule, ann):
    rule.source.refresh_from_db()
    grants.grant(Right.ADMINISTER, ann, rule.source)
    client.force_login(ann)

    def move(by: Client, region: str) -> bool:
        """Whether it was saved; all else stays as it is."""
        url = f"/instances/{rule.source.name}/edit/"
        form = by.get(url).context["form"]
        values = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False, "")}
        by.post(url, values | {"region": region})
        return Instance.objects.get(pk=rule.source.pk).region == region

    assert move(client, "ap-shanghai"), "without pairs a region is a word like others"
    RegionPair.objects.create(source="ap-shanghai", target=rule.target.region)
    assert not move(client, "moon")
    assert move(console, "moon")
    rule.refresh_from_db()
    assert "from moon to" in rule.suspension
    assert move(console, "ap-shanghai")
    rule.refresh_from_db()
    assert not rule.suspension


def test_a_person_reads_their_own_roles(rule):
    ann, team = User.objects.create_user("ann"), Group.objects.create(name="night")
    ann.groups.add(team)
    grants.grant(Right.OPERATE, ann, rule.source)
    grants.grant(Right.VIEW, team, rule.source)
    grants.grant(Right.RECEIVE, team, rule.target)
    client = Client()
    client.force_login(ann)
    held = [words(one) for one in elements(client.get("/preferences/").content.decode(), "li")]
    assert held[-2:] == [
        "prod-eu (Frankfurt) : Receive (group night)",
        "prod-gz (ap-guangzhou) : Operator, Viewer (group night)",
    ]
    facts = client.get("/i/prod-gz/").content.decode()
    assert "Operator, Viewer (group night)" in texts(facts, "dd")
    nobody = Client()
    nobody.force_login(User.objects.create_user("ben"))
    for page in ("/where/", "/where/?ref=prod/web", "/"):
        assert "You see no instance yet" in nobody.get(page).content.decode()
    assert "You have no role on any instance yet" in nobody.get("/preferences/").content.decode()
    grants.grant(Right.RECEIVE, User.objects.get(username="ben"), rule.target)
    assert "prod-eu (Frankfurt) : Receive" in " ".join(texts(nobody.get("/preferences/").content.decode(), "li"))
    assert "You see no instance yet" in nobody.get("/").content.decode()


def test_the_admin_shows_the_roles_of_people(console, rule):
    ann = User.objects.create_user("ann")
    grants.grant(Right.OPERATE, ann, rule.source)
    for page in ("/admin/auth/user/", f"/admin/auth/user/{ann.pk}/change/"):
        assert "prod-gz: Operator" in console.get(page).content.decode()
    assert console.get("/admin/auth/user/add/").status_code == 200


@pytest.mark.parametrize("page", ["user/", "user/add/", "user/{}/change/", "user/{}/password/", "group/", "group/add/"])
def test_nobody_makes_themselves_a_platform_administrator(client, db, page):
    """Whatever permissions of Django's somebody has been given."""
    support = User.objects.create_user("support", is_staff=True)
    support.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    client.force_login(support)
    url = f"/admin/auth/{page.format(support.pk)}"
    assert client.get(url).status_code == 403
    assert client.post(url, {"username": "support", "is_superuser": "on", "is_active": "on"}).status_code == 403
    support.refresh_from_db()
    assert not support.is_superuser
    assert "/admin/auth/" not in client.get("/admin/").content.decode()


def test_forms_of_people_and_groups_offer_nothing_that_has_no_effect(console):
    """Permissions of Django's give nothing here; roles are given on the Access page."""
    ann = User.objects.create_user("ann")
    night = Group.objects.create(name="night")
    for page in (f"user/{ann.pk}", f"group/{night.pk}"):
        told = console.get(f"/admin/auth/{page}/change/").content.decode()
        assert 'name="user_permissions"' not in told and 'name="permissions"' not in told
        assert "Access page" in told


def test_who_sees_a_rule_narrows_by_its_target_though_that_is_not_theirs(rule):
    ann = User.objects.create_user("ann")
    grants.grant(Right.VIEW, ann, rule.source)
    SyncRule.objects.create(name="here", source=rule.source, source_namespace="x", target=rule.source)
    client = Client()
    client.force_login(ann)
    page = client.get("/i/prod-gz/rules/?target=prod-eu").content.decode()
    assert "prod-eu (Frankfurt)" in texts(page, "option") and "1 rule" in page
