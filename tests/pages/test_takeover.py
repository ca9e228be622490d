"""On whose rights a rule stands once it is saved: said on its form before, and by the audit after."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import AuditEntry, RegionPair, SyncRule
from sync.services import audit, configure, grants
from sync.services.grants import Right
from tests.pages.html import by_id, texts, words

EDIT = "/i/prod-gz/rules/web/edit/"


def somebody(name: str, rule: SyncRule) -> User:
    """Who may have the rule as it is."""
    user = User.objects.create_user(name)
    grants.grant(Right.MANAGE_RULES, user, rule.source)
    grants.grant(Right.RECEIVE, user, rule.target)
    return user


@pytest.fixture
def anns(rule: SyncRule) -> SyncRule:
    SyncRule.objects.filter(pk=rule.pk).update(owner=somebody("ann", rule), by_platform=False)
    rule.refresh_from_db()
    return rule


def save(client: Client, **values: str) -> None:
    form = client.get(EDIT).context["form"]
    kept = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False, "")}
    assert client.post(EDIT, kept | values).status_code == 302


def newest() -> AuditEntry:
    entry: AuditEntry = AuditEntry.objects.latest("id")
    return entry


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_platform_administrator_is_told_that_it_stands_on_theirs_then(console, anns):
    page = console.get(EDIT).content.decode()
    assert words(by_id(page, "takeover")) == (
        "This rule stands on the rights of ann. Once you save it, it stands on your rights: "
        "it is suspended when you are a platform administrator no more."
    )
    save(console, description="mine now")
    told = "It stands on the rights of root from now on, before on the rights of ann."
    assert (newest().actor_name, newest().detail, newest().instance) == ("root", told, anns.source_id)
    assert SyncRule.objects.get().owner == User.objects.get(username="root")
    assert 'id="takeover"' not in console.get(EDIT).content.decode()
    save(console, description="mine still")
    assert newest().detail == "" and len(audit.changes_of(newest())) == 1, "nothing but the description"


def test_another_rule_admin_is_told_whose_rights_count_then(anns):
    bob = client_of(somebody("bob", anns))
    said = words(by_id(bob.get(EDIT).content.decode(), "takeover"))
    assert said.startswith("This rule stands on the rights of ann. Once you save it, it stands on your rights:")
    save(bob)
    assert newest().detail == "It stands on the rights of bob from now on, before on the rights of ann."
    assert SyncRule.objects.get().owner == User.objects.get(username="bob")
    assert 'id="takeover"' not in bob.get(EDIT).content.decode()


def test_who_saves_their_own_takes_nothing_over(anns):
    ann = client_of(User.objects.get(username="ann"))
    assert 'id="takeover"' not in ann.get(EDIT).content.decode()
    before = AuditEntry.objects.count()
    save(ann, description="more")
    assert AuditEntry.objects.count() == before + 1 and newest().detail == ""


def test_a_new_rule_is_nobodys_before(console, source):
    assert 'id="takeover"' not in console.get("/i/prod-gz/new-rule/").content.decode()


def test_the_admin_says_it_too(console, anns):
    page = console.get(f"/admin/sync/syncrule/{anns.pk}/change/").content.decode()
    said = "Stands on the rights of ann. Once it is saved here, it stands on the rights of root."
    assert said in texts(page, "div")
    SyncRule.objects.update(owner=User.objects.get(username="root"))
    assert "Stands on" not in console.get(f"/admin/sync/syncrule/{anns.pk}/change/").content.decode()


def test_what_the_admin_saves_across_regions_is_told_to_be_suspended(console, rule):
    RegionPair.objects.create(source="x", target="y")
    url = f"/admin/sync/syncrule/{rule.pk}/change/"
    form = console.get(url).context["adminform"].form
    kept = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False, "")}
    page = console.post(url, kept, follow=True).content.decode()
    assert "is suspended, so that nothing starts it: Nothing may be copied from" in page


@pytest.fixture
def roots(console, rule):
    """Saved by a platform administrator, and there is another one."""
    save(console, description="of root")
    User.objects.filter(username="root").update(username="leaving")
    other = User.objects.create_superuser("staying")
    return client_of(other), User.objects.get(username="leaving")


def of(person: User) -> str:
    return f"/admin/auth/user/{person.pk}/"


@pytest.mark.parametrize("flag", ["is_superuser", "is_active"])
def test_rules_of_who_is_no_platform_administrator_any_more_are_suspended_at_once(roots, rule, flag):
    admin, leaving = roots
    form = admin.get(f"{of(leaving)}change/").context["adminform"].form
    kept = {name: value for name, value in form.initial.items() if value not in (None, False, [], "")} | {
        "last_login_0": "", "last_login_1": "", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip
    del kept[flag]
    page = admin.post(f"{of(leaving)}change/", kept, follow=True).content.decode()
    assert "Suspended for lack of a right: prod-gz/web." in page
    rule.refresh_from_db()
    assert rule.suspension.startswith("leaving, who saved this rule last,")


def test_so_are_those_of_who_is_deleted(roots, rule):
    admin, leaving = roots
    page = admin.post(f"{of(leaving)}delete/", {"post": "yes"}, follow=True).content.decode()
    assert "Suspended for lack of a right: prod-gz/web." in page
    rule.refresh_from_db()
    assert rule.suspension.startswith("Who saved this rule last is no longer a user")


def test_what_came_from_a_file_stands_on_the_platform_whoever_leaves(roots, rule):
    configure.save_rule(SyncRule.objects.get())
    admin, leaving = roots
    admin.post(f"{of(leaving)}delete/", {"post": "yes"}, follow=True)
    rule.refresh_from_db()
    assert not rule.suspension and not grants.fault(rule)
