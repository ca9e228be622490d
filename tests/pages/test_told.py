"""Who is told when a task ends: in the form, on the page of the rule, in the admin."""

import json

import pytest
from django.utils import timezone

from sync import queue
from sync.models import Announcement, SyncRule, SyncTask
from sync.services import grants
from tests.fakes.receiver import Receiver
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_rule_form import NEW, values

__all__ = ["values"]
SECRET = "correct horse battery"
WEBHOOK = {"webhook_url": "https://hook.example/in?token=abc", "webhook_secret": SECRET}
PART = {"HX-Request": "true", "HX-Target": "logs"}
EDIT, PAGE = "/i/prod-gz/rules/web/edit/", "/i/prod-gz/rules/web/"


@pytest.fixture
def telling(rule: SyncRule) -> SyncRule:
    rule.webhook_url = WEBHOOK["webhook_url"]
    rule.webhook_secret = SECRET
    rule.save()
    return rule


@pytest.fixture
def enqueued(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(queue, "enqueue_announcement", lambda pk: not asked.append(pk))  # type: ignore[func-returns-value]
    return asked


def delivery(rule: SyncRule, **fields) -> Announcement:
    task = SyncTask.objects.create(
        rule=rule, source=rule.source, snapshot=rule.snapshot(), trigger="push", status="succeeded"
    )
    return Announcement.objects.create(rule=rule, task=task, url=rule.webhook_url, **fields)


def section(part: str) -> str:
    """What is inside the section of the deliveries."""
    return part.partition('aria-labelledby="told-title">')[2].partition("</section>")[0]


def test_a_webhook_is_entered_with_its_secret_which_is_never_shown(console, source, values):
    assert console.post(NEW, {**values, **WEBHOOK, "webhook_failures_only": "on"}).status_code == 302
    rule = SyncRule.objects.get()
    assert (rule.webhook_url, rule.webhook_failures_only) == (WEBHOOK["webhook_url"], True)
    assert rule.webhook_secret == SECRET
    assert SECRET not in rule.encrypted_webhook_secret
    page = console.get(EDIT).content.decode()
    assert SECRET not in page
    assert rule.encrypted_webhook_secret not in page
    assert "A secret is stored" in words(by_id(page, "id_webhook_secret_helptext"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"webhook_secret": ""}, "webhook_secret"),
        ({"webhook_secret": "short"}, "webhook_secret"),
        ({"webhook_url": "http://hook.example/"}, "webhook_url"),
        ({"webhook_url": "hook.example"}, "webhook_url"),
        ({"webhook_url": "https://user:word@hook.example/"}, "webhook_url"),
        ({"webhook_url": "https://hook.example:port/"}, "webhook_url"),
        ({"webhook_url": "https://hook.example/ä"}, "webhook_url"),
        ({"webhook_url": "https://hook.example/a b"}, "webhook_url"),
        ({"removal_share": "101"}, "removal_share"),
    ],
)
def test_what_is_refused_is_told_beside_the_field(changes, field, console, source, values):
    answer = console.post(NEW, {**values, **WEBHOOK, **changes})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words(by_id(page, f"id_{field}_error"))
    if field.startswith("webhook"):
        assert "open" in attributes(next(one for one in elements(page, "details") if "Tell others" in words(one)))


def test_a_blank_secret_keeps_the_stored_one_another_replaces_it(console, telling, values):
    for typed, stored in (("", SECRET), ("another long secret", "another long secret")):
        console.post(EDIT, {**values, **WEBHOOK, "webhook_secret": typed})
        assert SyncRule.objects.get().webhook_secret == stored


def test_without_an_address_the_secret_is_forgotten(console, telling, values):
    console.post(EDIT, {**values, "webhook_url": "", "webhook_secret": ""})
    assert SyncRule.objects.get().encrypted_webhook_secret == ""


def test_deletions_are_off_and_say_what_they_do(console, source, values):
    page = console.get(NEW).content.decode()
    assert "checked" not in attributes(by_id(page, "id_delete_removed"))
    assert attributes(by_id(page, "id_removal_share"))["value"] == "20"
    assert "only what this rule brought there and nobody changed since" in words(
        by_id(page, "id_delete_removed_helptext")
    )
    assert "a person is asked" in words(by_id(page, "id_removal_share_helptext"))
    console.post(NEW, {**values, "delete_removed": "on", "removal_share": "5"})
    rule = SyncRule.objects.get()
    assert (rule.delete_removed, rule.removal_share) == (True, 5)
    assert "beyond 5% a person is asked" in console.get(PAGE).content.decode()


def test_the_page_tells_the_host_and_the_deliveries(console, telling):
    now = timezone.now()
    delivered = delivery(telling, status="delivered", attempts=1, http_status=204, next_try_at=None, delivered_at=now)
    failed = delivery(
        telling, status="failed", attempts=6, http_status=500, reason="It answered 500.", next_try_at=None
    )
    waiting = delivery(telling, attempts=2, reason="It answered 503.", http_status=503)
    page = console.get(PAGE).content.decode()
    assert "https://hook.example" in page
    assert "token=abc" not in page
    part = console.get(PAGE, headers=PART).content.decode()
    live = attributes(by_id(part, "logs"))
    assert live["hx-trigger"].startswith("every 5s"), "one of them waits"
    assert console.get(live["hx-get"], headers=PART).status_code == 204
    assert page.count("data-live") == 1, "one poll has all that changes"
    rows = texts(section(part), "tr")[1:]
    assert [row.split()[0] for row in rows] == [str(one.task_id) for one in (waiting, failed, delivered)]
    assert "Waiting 2 503" in rows[0]
    assert "It answered 500." in rows[1]
    assert "Delivered 1 204" in rows[2]
    assert texts(part, "button") == ["Send a test", "Send again", "Send again"]


def test_twenty_are_shown(console, telling):
    for _ in range(22):
        delivery(telling)
    part = console.get(PAGE, headers=PART).content.decode()
    assert len(texts(section(part), "tr")) == 21


def test_a_rule_that_tells_nobody_has_no_deliveries(console, rule):
    assert "told-title" not in console.get(PAGE).content.decode()


def test_send_again(console, telling, enqueued):
    one = delivery(telling, status="failed", attempts=6, next_try_at=None)
    answer = console.post(f"{PAGE}tell/{one.pk}/", follow=True)
    assert f"What task {one.task_id} came to is sent again." in answer.content.decode()
    assert enqueued == [one.pk]
    assert console.post(f"{PAGE}tell/{one.pk + 1}/").status_code == 404
    assert console.get(f"{PAGE}tell/{one.pk}/").status_code == 405


def test_send_a_test(console, telling, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with Receiver((200, {}), (403, {})) as receiver:
        telling.webhook_url = receiver.url
        telling.save()
        taken = console.post(f"{PAGE}tell/", follow=True).content.decode()
        refused = console.post(f"{PAGE}tell/", follow=True).content.decode()
    assert "The test was taken" in taken
    assert "The test was not taken. It answered 403" in refused
    assert [json.loads(one.body)["event"] for one in receiver.told] == ["test", "test"]


def test_nobody_else_may_send(client, django_user_model, telling):
    client.force_login(django_user_model.objects.create_user("somebody"))
    assert client.post(f"{PAGE}tell/").status_code == 404


def test_saving_or_enabling_a_rule_that_closes_a_circle_warns(console, source, target, values, rule):
    back = SyncRule.objects.create(name="back", source=target, source_namespace="prod", target=source)
    ring = "prod-gz/web → prod-eu/back → prod-gz/web"
    answer = console.post(EDIT, {**values, "repositories": "", "tags": ""}, follow=True)
    page = answer.content.decode()
    assert f"This closes a circle: {ring}." in page
    assert "Rule web is saved." in page
    assert "toast warning" in page
    assert "closes a circle" not in console.post(f"{PAGE}switch/", {"enable": "false"}, follow=True).content.decode()
    assert ring in console.post(f"{PAGE}switch/", {"enable": "true"}, follow=True).content.decode()
    back.delete()
    assert "closes a circle" not in console.post(EDIT, values, follow=True).content.decode()


def test_a_circle_names_no_rule_that_one_may_not_see(client, django_user_model, source, target, values, rule):
    SyncRule.objects.create(name="back", source=target, source_namespace="prod", target=source)
    ann = django_user_model.objects.create_user("ann")
    grants.grant(grants.Right.MANAGE_RULES, ann, source)
    grants.grant(grants.Right.RECEIVE, ann, target)
    client.force_login(ann)
    page = client.post(EDIT, {**values, "repositories": "", "tags": ""}, follow=True).content.decode()
    assert "This closes a circle: prod-gz/web → a rule that you may not see → prod-gz/web." in page


def test_saving_in_the_admin_warns_as_well(console, source, target, rule):
    SyncRule.objects.create(name="back", source=target, source_namespace="prod", target=source)
    url = f"/admin/sync/syncrule/{rule.pk}/change/"
    form = console.get(url).context["adminform"].form
    typed = {name: value for name, value in form.initial.items() if value not in (None, False)}
    answer = console.post(url, typed, follow=True)
    assert "This closes a circle: prod-gz/web → prod-eu/back → prod-gz/web." in answer.content.decode()


def test_the_admin_shows_deliveries_to_look_at_and_no_secret(console, telling):
    one = delivery(telling)
    page = console.get("/admin/sync/announcement/").content.decode()
    detail = console.get(f"/admin/sync/announcement/{one.pk}/change/").content.decode()
    rule = console.get(f"/admin/sync/syncrule/{telling.pk}/change/").content.decode()
    for text in (page, detail, rule):
        assert SECRET not in text
        assert telling.encrypted_webhook_secret not in text
        assert "token=abc" not in text
    assert "https://hook.example" in page
    assert "https://hook.example" in detail
    assert 'name="_save"' not in detail
    assert console.get("/admin/sync/announcement/?q=web").status_code == 200
