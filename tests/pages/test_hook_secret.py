"""The secret of an instance's notifications on its page: made, shown once, replaced, removed; and how to set up."""

import re
from datetime import timedelta

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sync.models import Instance, Notification
from sync.services import receive
from tests.pages.html import attributes, by_id, elements, texts, words

URL = "/i/prod-gz/secret/"
FRAGMENT = {"HX-Request": "true"}
SHOWN_IN = {"copy-secret", "copy-distribution", "copy-harbor", "copy-tcr", "copy-zot", "copy-script"}


def section(page):
    return by_id(page, "notifications")


def facts(page):
    terms = texts(str(section(page)), "dt"), texts(str(section(page)), "dd")
    return dict(zip(*terms, strict=True))


def make(console, source):
    """Presses the button; gives the page that follows and the secret on it."""
    source.refresh_from_db()
    page = console.post(URL, {"seen": receive.state_of(source)}).content.decode()
    return page, words(by_id(page, "copy-secret"))


def test_without_a_secret_the_page_says_that_nothing_is_taken(console, source):
    page = console.get("/i/prod-gz/").content.decode()
    assert facts(page)["Secret"] == "None: nothing is taken"
    assert facts(page)["Last notification"] == "None yet"
    form = next(form for form in elements(page, "form") if attributes(form)["action"] == f"{URL}#notifications")
    assert words(form) == "Make a secret" and 'id="copy-secret"' not in page


def test_it_is_shown_once_and_only_its_hash_is_kept(console, source):
    page, secret = make(console, source)
    assert len(secret) == 43
    for name in SHOWN_IN:
        assert secret in words(by_id(page, name)), name
    source.refresh_from_db()
    assert source.hook_secret_hash and secret not in str(vars(source))
    admin = f"/admin/sync/instance/{source.pk}/change/"
    for url in ("/i/prod-gz/", URL, "/instances/", "/instances/prod-gz/edit/", admin):
        later = console.get(url).content.decode()
        assert secret not in later and source.hook_secret_hash not in later, url
    assert "PUT-THE-SECRET-HERE" in console.get("/i/prod-gz/").content.decode()


def test_the_page_with_it_is_kept_by_no_cache(console, source):
    answer = console.post(URL, {"seen": ""})
    assert "no-store" in answer.headers["Cache-Control"]


def test_it_works_as_it_stands_on_the_page(console, source):
    _, secret = make(console, source)
    body = '{"repository": "prod/web", "tag": "v1"}'
    answer = Client().post(
        "/hooks/prod-gz/", body, content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 202
    page = console.get("/i/prod-gz/").content.decode()
    assert facts(page)["Waiting to be handled"] == "1"
    assert "ago" in facts(page)["Last notification"] or "now" in facts(page)["Last notification"]


def test_replacing_asks_first_and_says_that_the_old_one_stops(console, source):
    _, first = make(console, source)
    source.refresh_from_db()
    asked = console.get(URL, headers=FRAGMENT).content.decode()
    assert "Replace the secret of prod-gz (ap-guangzhou)?" in texts(asked, "h2")
    assert "stops working at once" in words(asked)
    seen = attributes(next(field for field in elements(asked, "input") if attributes(field)["name"] == "seen"))["value"]
    page = console.post(URL, {"seen": seen}).content.decode()
    assert words(by_id(page, "copy-secret")) != first
    assert texts(console.get(URL).content.decode(), "h1") == ["Replace the secret of prod-gz (ap-guangzhou)?"]


def test_sent_twice_the_second_makes_nothing(console, source):
    """A reload of the page that shows it would else replace what was just put into the registry."""
    _, secret = make(console, source)
    again = console.post(URL, {"seen": ""}).content.decode()
    assert "Nothing was done" in again and 'id="copy-secret"' not in again
    assert receive.sender("prod-gz", secret) is not None


def test_it_can_be_removed(console, source):
    _, secret = make(console, source)
    asked = console.get(f"{URL}remove/").content.decode()
    assert texts(asked, "h1") == ["Remove the secret of prod-gz (ap-guangzhou)?"]
    assert receive.sender("prod-gz", secret) is not None
    page = console.post(f"{URL}remove/", follow=True).content.decode()
    assert facts(page)["Secret"] == "None: nothing is taken"
    assert receive.sender("prod-gz", secret) is None


@pytest.mark.parametrize("url", [URL, f"{URL}remove/"])
def test_it_is_for_platform_administrators(client, source, url):
    assert client.post(url).headers["Location"].startswith("/login/")
    client.force_login(User.objects.create_user("sub-account"))
    assert (client.get(url).status_code, client.post(url, {"seen": ""}).status_code) == (404, 404)
    assert not Instance.objects.get().hook_secret_hash


def test_the_lines_for_distribution_are_a_configuration(console, source):
    page = console.get("/i/prod-gz/").content.decode()
    text = re.search(r'<pre class="code" id="copy-distribution">(.*?)</pre>', page, re.DOTALL)
    assert text
    (endpoint,) = yaml.safe_load(text[1])["notifications"]["endpoints"]
    assert endpoint["url"] == "http://testserver/hooks/prod-gz/"
    assert endpoint["headers"] == {"Authorization": ["Bearer PUT-THE-SECRET-HERE"]}
    assert endpoint["ignore"]["actions"] == ["pull", "mount"]


def test_each_kind_of_registry_is_told_the_address_as_the_reader_has_it(console, source, settings):
    settings.ALLOWED_HOSTS = ["console.example"]
    page = console.get("/i/prod-gz/", headers={"Host": "console.example"}).content.decode()
    for name in ("copy-address", "copy-distribution", "copy-zot", "copy-script"):
        assert "http://console.example/hooks/prod-gz/" in words(by_id(page, name)), name
    assert texts(str(section(page)), "summary") == [
        "CNCF distribution, Docker registry",
        "Harbor",
        "Tencent Container Registry (TCR)",
        "zot",
        "Scripts, and everything else",
    ]


def test_every_copy_button_names_what_it_copies(console, source):
    page, _ = make(console, source)
    buttons = [attributes(button) for button in elements(page, "button") if "data-copy" in attributes(button)]
    assert {button["data-copy"] for button in buttons} == SHOWN_IN | {"copy-address"}
    for button in buttons:
        assert words(by_id(page, button["data-copy"])) and button["aria-label"].startswith("Copy ")


def test_what_waits_is_counted_to_a_bound(console, source, monkeypatch):
    monkeypatch.setattr(receive, "WAITING_COUNTED", 3)
    Notification.objects.bulk_create(Notification(instance=source, repository="a", tag=str(n)) for n in range(5))
    assert facts(console.get("/i/prod-gz/").content.decode())["Waiting to be handled"] == "3 or more"
    Notification.objects.update(handled_at=timezone.now())
    assert facts(console.get("/i/prod-gz/").content.decode())["Waiting to be handled"] == "0"


def test_the_list_tells_when_the_last_one_came(console, source, target):
    receive.make_secret(target, "")
    Instance.objects.create(name="told", region="x", url="http://127.0.0.1:1", hook_secret_hash="a")
    Instance.objects.filter(name="told").update(notified_at=timezone.now() - timedelta(hours=2))
    page = console.get("/instances/").content.decode()
    cells = [words(cell) for cell in elements(page, "td") if attributes(cell).get("data-label") == "Health"]
    said = ["No notification yet", "Does not notify", "Notified 2 h ago"]
    assert cells == [f"Not checked {one}" for one in said]


@pytest.mark.parametrize(("typed", "kept"), [("15", 15), ("", 0), ("0", 0)])
def test_how_often_to_look_for_news_is_in_the_form(console, source, typed, kept):
    page = console.get("/instances/prod-gz/edit/").content.decode()
    values = {
        attributes(field)["name"]: attributes(field).get("value", "")
        for field in elements(page, "input")
        if attributes(field).get("type") in ("text", "number")
    }
    form = {**values, "kind": "registry", "poll_minutes": typed}
    assert console.post("/instances/prod-gz/edit/", form).status_code == 302
    assert Instance.objects.get().poll_minutes == kept
    shown = f"Every {kept} minutes" if kept else "Never"
    assert facts(console.get("/i/prod-gz/").content.decode())["Looks for news"] == shown
    refused = console.post("/instances/prod-gz/edit/", {**form, "poll_minutes": "1441"})
    assert refused.status_code == 422 and "from 0 to 1440" in refused.content.decode()
