"""The Audit page: who did what, from where; for whom it is; no secret in it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from sync.models import AuditEntry, Instance, RegionPair, SyncRule, Trigger, Verb
from sync.services import audit, configure, grants, pruning
from sync.services.grants import Right
from sync.services.trigger import open_task
from tests.pages.html import elements, texts, words

MARKER = "marker-of-a-secret"


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch):
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: True)


def rows(client: Client, query: str = "") -> list[str]:
    page = client.get(f"/audit/{query}").content.decode()
    return [words(row) for row in elements(page, "tr")][1:]


def done() -> list[tuple[str, str, str]]:
    """Who did what to what, oldest first."""
    entries = AuditEntry.objects.order_by("pk")
    return list(entries.values_list("actor_name", "verb", "object_repr"))


def test_what_is_done_in_pages_is_told_with_who_and_from_where(console, rule):
    AuditEntry.objects.all().delete()
    url = f"/i/prod-gz/rules/{rule.name}/"
    console.post(f"{url}switch/", {"enable": "false"}, REMOTE_ADDR="192.0.2.7")
    console.post(f"{url}switch/", {"enable": "false"})  # nothing was switched
    console.post(f"{url}sync/")
    task = rule.tasks.get()
    for _ in range(2):
        console.post(f"/i/prod-gz/tasks/{task.pk}/stop/")
    console.post(f"{url}delete/")
    assert done() == [
        ("root", "disabled", "prod-gz/web"),
        ("root", "synced", f"task {task.pk}"),
        ("root", "stopped", f"task {task.pk}"),
        ("root", "deleted", "prod-gz/web"),
    ]
    told = rows(console)
    assert "192.0.2.7" in told[-1] and "127.0.0.1" in told[0]
    assert "Synced as task" in told[2] and "Rule prod-gz/web." in told[2]
    assert f"/i/prod-gz/tasks/{task.pk}/" in console.get("/audit/").content.decode()


def test_changes_are_told_with_before_and_after(console, rule):
    AuditEntry.objects.all().delete()
    rule.tags, rule.overwrite, rule.target_namespace = "v.*", True, "there"
    configure.save_rule(rule)
    [entry] = AuditEntry.objects.all()
    assert audit.changes_of(entry) == [
        audit.Change("Overwrite tags of the same name", "no", "yes"),
        audit.Change("Tags", "", "v.*"),
        audit.Change("Target namespace", "", "there"),
    ]
    assert entry.actor_name == "system" and "no → yes" in rows(console)[0]


def test_roles_secrets_regions_and_suspensions_are_told(console, rule):
    ann, team = User.objects.create_user("ann"), Group.objects.create(name="team")
    AuditEntry.objects.all().delete()
    console.post("/i/prod-gz/access/", {"who": f"user:{ann.pk}", "role": Right.OPERATE})
    console.post("/i/prod-gz/access/remove/", {"who": f"user:{ann.pk}", "role": Right.OPERATE})
    console.post("/i/prod-gz/secret/", {"seen": ""})
    console.post("/i/prod-gz/secret/remove/")
    console.post("/access/regions/", {"source": "Frankfurt", "target": "Frankfurt", "sure": "on"})
    console.post(f"/access/regions/{RegionPair.objects.get().pk}/remove/", {"sure": "on"})
    ann.groups.add(team)
    assert [verb for _, verb, _ in done()] == [
        *("granted", "revoked", "made-secret", "removed-secret"),
        *("allowed-regions", "suspended", "allowed-regions", "went-on", "changed"),
    ]
    told = rows(console)[::-1]
    assert "Gave a role on prod-gz" in told[0] and "Operator: person ann." in told[0]
    assert "Allowed copying from Frankfurt to Frankfurt" in told[4] and "Nothing may be copied from" in told[5]
    assert "Allowed copying from any region to any other" in told[6] and "The last pair, Frankfurt to" in told[6]
    assert told[8].endswith("Groups: team")


def test_a_rule_that_lost_its_right_without_anybody_at_the_keyboard_is_suspended_by_the_system(rule):
    ann = User.objects.create_user("ann")
    SyncRule.objects.update(owner=ann, by_platform=False)
    AuditEntry.objects.all().delete()
    grants.review(SyncRule.objects.all())
    grants.review(SyncRule.objects.all())
    assert done() == [("system", "suspended", "prod-gz/web")]


def test_that_the_reason_of_a_suspension_changed_is_no_other_suspension(rule):
    AuditEntry.objects.all().delete()
    grants.suspend(rule, "one reason")
    grants.suspend(rule, "another")
    assert SyncRule.objects.get().suspension == "another"
    grants.suspend(rule, "")
    assert [verb for _, verb, _ in done()] == ["suspended", "went-on"]


def test_signing_in_and_being_locked_out_are_told_with_the_address(db):
    User.objects.create_user("ann", password="correct horse battery")
    AuditEntry.objects.all().delete()
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.post("/login/", {"username": "ann", "password": "correct horse battery"})
    for _ in range(8):
        Client(REMOTE_ADDR="192.0.2.2").post("/login/", {"username": "ann", "password": "wrong"})
    assert done() == [("ann", "signed-in", "ann"), ("system", "locked-out", "ann")]
    assert list(AuditEntry.objects.order_by("pk").values_list("remote_addr", flat=True)) == ["192.0.2.1", "192.0.2.2"]


def test_pushes_and_schedules_are_no_acts_of_anybody(rule):
    AuditEntry.objects.all().delete()
    for trigger in (Trigger.PUSH, Trigger.SCHEDULE):
        open_task(rule, trigger, selection=[("a", "b")])
    assert done() == []


def test_no_secret_is_in_any_entry(console, source, target):
    source.password, source.api_key = MARKER, MARKER
    configure.save_instance(source, MARKER, MARKER)
    configure.save_instance(source, f"{MARKER}2")
    rule = SyncRule(name="web", source=source, source_namespace="prod", target=target)
    rule.webhook_url, rule.webhook_secret = f"https://hooks.example/{MARKER}?{MARKER}", MARKER
    configure.save_rule(rule)
    rule.webhook_url = f"https://hooks.example/{MARKER}/other"
    configure.save_rule(rule)
    console.post("/i/prod-gz/secret/", {"seen": ""})
    user = User.objects.create_user("ann", password=MARKER)
    user.set_password(f"{MARKER}-other")
    user.save()
    hashes = [user.password, Instance.objects.get(pk=source.pk).hook_secret_hash, source.encrypted_password]
    stored = str(list(AuditEntry.objects.values()))
    page = console.get("/audit/").content.decode()
    for secret in (MARKER, *hashes, source.encrypted_api_key, rule.encrypted_webhook_secret):
        assert secret and secret not in stored and secret not in page
    assert "https://hooks.example/…" in stored
    told = " ".join(texts(page, "li"))
    assert "Webhook: (changed)" in told and "Password: (changed)" in told


def test_filters_stand_in_the_url(console, rule):
    AuditEntry.objects.all().delete()
    configure.switch_rule(rule, False)
    audit.note(Verb.GRANTED, rule.target, actor="bob", detail="Viewer: person ann.")
    AuditEntry.objects.filter(verb="granted").update(timestamp=timezone.now() - timedelta(days=8))
    assert [len(rows(console, query)) for query in ("", "?who=BO", "?kind=rule", "?instance=prod-eu", "?period=7")] == [
        *(2, 1, 1, 1, 1),
    ]
    assert [len(rows(console, query)) for query in ("?did=disabled", "?did=granted&who=bob", "?who=prod-eu")] == [
        1,
        1,
        1,
    ]
    assert "No entry matches" in console.get("/audit/?who=nobody").content.decode()
    assert len(rows(console, "?kind=cat&instance=none&period=x&who=%00")) == 2


def test_pages_go_on_where_the_last_one_ended(console, rule):
    AuditEntry.objects.all().delete()
    for number in range(60):
        audit.note(Verb.CHANGED, rule, actor="bob", detail=f"Number {number}.")
    page = console.get("/audit/").content.decode()
    on = next(link for link in elements(page, "a") if ("rel", "next") in link.attributes)
    assert "60 entries" in texts(page, "p") and "Number 9." not in page
    assert "Number 9." in console.get(dict(on.attributes)["href"]).content.decode()


def test_who_administers_an_instance_sees_what_was_done_to_it_and_its_rules(console, rule, client):
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    assert client.get("/audit/").status_code == 404
    grants.grant(Right.MANAGE_RULES, ann, rule.source)
    assert client.get("/audit/").status_code == 404
    grants.grant(Right.ADMINISTER, ann, rule.source)
    configure.switch_rule(rule, False)
    audit.note(Verb.GRANTED, rule.target, detail="Viewer: person bob.")
    told = " ".join(rows(client))
    assert "Disabled prod-gz/web" in told and "bob" not in told
    assert "bob" not in " ".join(rows(client, "?instance=prod-eu"))
    assert ">Audit<" in client.get("/instances/").content.decode().replace("</svg>", ">")
    assert "bob" in " ".join(rows(console))


def test_entries_outlive_what_they_tell_of(console, rule):
    ann = User.objects.create_user("ann")
    client = Client()
    client.force_login(ann)
    grants.grant(Right.ADMINISTER, ann, rule.source)
    client.post("/i/prod-gz/rules/web/switch/")
    rule.delete()
    rule.source.delete()
    ann.delete()
    assert any("ann" in row and "Disabled prod-gz/web" in row for row in rows(console))


def test_old_entries_are_pruned(rule, settings):
    AuditEntry.objects.all().update(timestamp=timezone.now() - timedelta(days=366))
    audit.note(Verb.CHANGED, rule)
    pruning.prune()
    assert len(done()) == 1
    AuditEntry.objects.all().update(timestamp=timezone.now() - timedelta(days=366))
    settings.AUDIT_DAYS = 0
    pruning.prune()
    assert len(done()) == 1


def test_support_staff_reads_entries_and_changes_none(console, rule):
    entry = AuditEntry.objects.first()
    assert entry is not None
    page = console.get("/admin/sync/auditentry/?q=root").content.decode()
    assert "root" in page
    one = f"/admin/sync/auditentry/{entry.pk}/change/"
    assert console.get(one).status_code == 200 and console.post(one, {"verb": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "told"),
    [
        ([], "127.0.0.1", "198.51.100.1", "127.0.0.1"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1", "198.51.100.1"),
        (["127.0.0.1"], "127.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (["127.0.0.1", "10.0.0.0/8"], "127.0.0.1", "198.51.100.1:4711, 10.2.3.4", "198.51.100.1"),
        (["127.0.0.1"], "127.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
        (["127.0.0.1"], "127.0.0.1", "nonsense", "127.0.0.1"),
        (["127.0.0.1"], "127.0.0.1", "", "127.0.0.1"),
        (["10.0.0.0/8"], "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (["127.0.0.1"], "", "198.51.100.1", "198.51.100.1"),
        ([], "", "198.51.100.1", "127.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_who_called(trusted, peer, header, told, console, rule, settings):
    from tcrconsole.callers import check_networks

    settings.TRUSTED_PROXIES = check_networks(trusted)
    headers = {"X-Forwarded-For": header} if header else {}
    console.post("/i/prod-gz/rules/web/switch/", headers=headers, REMOTE_ADDR=peer)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.remote_addr) == ("disabled", told)
