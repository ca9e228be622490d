"""What every page keeps: markup that assistive technology understands, and nothing from elsewhere."""

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from sync.models import Instance, Status, SyncRule
from sync.services import drift
from tests.pages.html import attributes, elements, texts, words
from tests.pages.steps import make_step
from tests.pages.test_tasks import make_repository, make_task

pytestmark = pytest.mark.any_database
SECRET = "marker-of-a-password"
VOID_CONTROLS = {"hidden", "submit"}


@pytest.fixture
def pages(console: Client, rule: SyncRule, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Every page of the console, by the name of its URL."""
    rule.source.password = SECRET
    rule.source.save()
    task = make_task(rule, "synchronizing", planned=2, copied=1)
    repository = make_repository(task, "prod/web", "synchronizing", planned=2, copied=1, listed=True)
    repository.resources.create(tag="1.0", outcome="copied", digest="sha256:" + "a" * 64)
    task.log.create(level="error", repository="prod/web", message="<script>alert(1)</script>")
    ended = make_task(rule, "partial", planned=2, failed=1, retry_of=make_task(rule, "failed", planned=1, failed=1))
    rule.webhook_url, rule.webhook_secret = "https://hook.example/in", SECRET
    rule.save()
    rule.announcements.create(task=ended, url=rule.webhook_url, status="failed", attempts=6, reason="It answered 500.")
    of_rule, of_task = [rule.source.name, rule.name], [rule.source.name, task.pk]
    urls = {
        "instances": reverse("instances"),
        "instance-new": reverse("instance-new"),
        "instance": reverse("instance", args=[rule.source.name]),
        "instance-namespaces": reverse("instance-namespaces", args=[rule.source.name]),
        "instance-edit": reverse("instance-edit", args=[rule.source.name]),
        "instance-delete": reverse("instance-delete", args=[rule.source.name]),
        "rules": reverse("rules", args=[rule.source.name]),
        "no rules": reverse("rules", args=[rule.target.name]),
        "rule-new": reverse("rule-new", args=[rule.source.name]),
        **{name: reverse(name, args=of_rule) for name in ("rule", "rule-edit", "rule-delete", "rule-check")},
        "rule-check whose source is away": reverse("rule-check", args=of_rule, query={"run": 1}),
        "rule-check that cannot go on": reverse("rule-check", args=of_rule, query={"at": "?"}),
        **{name: reverse(name, args=of_task) for name in ("task", "task-stop", "task-log")},
        "task that can be retried": reverse("task", args=[rule.source.name, ended.pk]),
        "task that was retried": reverse("task", args=[rule.source.name, ended.retry_of_id]),
        "task-repository": reverse("task-repository", args=[*of_task, repository.pk]),
        "where": reverse("where"),
        "where found": reverse("where", query={"ref": "prod/web:1.0"}),
        "where refused": reverse("where", query={"ref": "No Reference"}),
        "preferences": reverse("preferences"),
        "help": reverse("help"),
        "404": "/i/nowhere/rules/",
    }
    found = {name: console.get(url) for name, url in urls.items()}
    found["login"] = Client().get("/login/")
    for stage in drift.Stage:
        monkeypatch.setattr(drift, "go_on", lambda *_, stage=stage: make_step("prod/web", "1.0", stage))
        found[f"rule-check in stage {stage}"] = console.get(urls["rule-check whose source is away"])
    found["refused"] = console.post(urls["rule-new"], {"name": "A"})
    assert all("default-src 'self'" in answer.headers["Content-Security-Policy"] for answer in found.values())
    return {name: answer.content.decode() for name, answer in found.items()}


def test_every_page(pages):
    for name, page in pages.items():
        assert len(texts(page, "h1")) == 1, name
        assert texts(page, "title")[0].endswith("Console"), name
        assert attributes(next(elements(page, "html")))["lang"] == "en", name
        assert "Skip to content" in texts(page, "a"), name
        assert len(list(elements(page, "main"))) == 1, name
        assert not [key for key, count in Counter(re.findall(r'\sid="([^"]+)"', page)).items() if count > 1], name


def test_help_is_in_the_same_place_of_every_page_that_has_a_header(pages):
    for name, page in pages.items():
        links = [attributes(link) for header in elements(page, "header") for link in elements(str(header), "a")]
        outside = name in ("404", "login")
        assert [link["href"] for link in links[-2:]] == ([] if outside else ["/help/", "/preferences/"]), name


def test_waiting_is_said_by_one_component():
    folder = Path(settings.BASE_DIR) / "templates"
    own = {str(path.relative_to(folder)) for path in folder.rglob("*.html") if 'class="busy' in path.read_text()}
    assert own <= {"parts/_busy.html", "rules/_form.html", "rules/_check_now.html"}


def test_every_control_has_a_label(pages):
    for name, page in pages.items():
        labelled = {attributes(label).get("for") for label in elements(page, "label")}
        for control in elements(page, "input", "select", "textarea"):
            found = attributes(control)
            assert found.get("type") in VOID_CONTROLS or found["id"] in labelled, (name, found)
        for button in elements(page, "button", "summary", "a"):
            assert words(button) or attributes(button).get("aria-label"), (name, button)
        for reference in re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', page):
            assert all(f'id="{part}"' in page for part in reference.split() if part != "dialog-title"), (
                name,
                reference,
            )


def test_tables_are_tables(pages):
    for name, page in pages.items():
        assert all("scope" in attributes(head) for head in elements(page, "th")), name
        assert len(list(elements(page, "table"))) == len(list(elements(page, "caption"))), name


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(pages):
    for name, page in pages.items():
        for element in elements(page):
            found = attributes(element)
            for source in (found.get("src"), found.get("href") if element.name in ("link", "use") else None):
                assert source is None or source.startswith("/static/"), (name, source)
            assert "style" not in found and not [key for key in found if key.startswith(("on", "hx-on"))], (name, found)
            assert element.name != "style", name
            assert element.name != "script" or (found.get("src") and not words(element)), name


def test_no_page_holds_a_credential(pages):
    encrypted = Instance.objects.get(name="prod-gz").encrypted_password
    assert encrypted
    for name, page in pages.items():
        assert SECRET not in page and encrypted not in page, name


def test_every_form_and_every_link_works_without_script(pages):
    for name, page in pages.items():
        for element in elements(page):
            found = attributes(element)
            if element.name == "a" and "hx-get" in found:
                assert found["href"] == found["hx-get"], name
            if element.name == "form" and "hx-get" in found:
                assert (found["action"], found["method"]) == (found["hx-get"], "get"), name
            if element.name == "form" and "hx-post" in found:
                assert (found["action"], found["method"]) == (found["hx-post"], "post"), name
            if element.name == "button" and "hx-post" in found:
                assert found["formaction"] == found["hx-post"], name


def test_status_is_always_an_icon_and_a_word(console, rule):
    for status in Status:
        task = make_task(rule, status)
        page = console.get(reverse("task", args=["prod-gz", task.pk])).content.decode()
        shown = next(
            element for element in elements(page, "span") if f"status-{status}" in attributes(element).get("class", "")
        )
        assert words(shown) == status.label
        assert [attributes(use)["href"] for use in elements(page, "use") if status in attributes(use)["href"]]


def test_every_icon_that_a_page_names_exists(pages):
    sprite = (Path(settings.BASE_DIR) / "static" / "icons.svg").read_text()
    drawn = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    named = {use.partition("#")[2] for page in pages.values() for use in re.findall(r'<use href="([^"]+)"', page)}
    assert named <= drawn
    assert {*Status.values, "copied", "conflict", "superseded", "failed", "removed", "unknown"} <= drawn


def test_a_broken_page_is_explained_without_help_of_the_database(client, monkeypatch):
    client.raise_request_exception = False
    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", lambda *_: 1 / 0)
    answer = client.get("/login/")
    assert answer.status_code == 500 and texts(answer.content.decode(), "h1") == ["Something went wrong on our side"]


def test_the_icon_that_browsers_ask_for_by_themselves_is_there_before_signing_in(client):
    assert client.get("/favicon.ico").headers["Location"] == "/static/favicon.svg"


def test_the_admin_site_is_named_after_the_product_and_writes_times_as_the_console(console, rule):
    page = console.get(reverse("rules", args=["prod-gz"])).content.decode()
    link = next(attributes(link)["href"] for link in elements(page, "a") if words(link) == "Admin site")
    assert texts(console.get(link).content.decode(), "h1") == ["Instances, rules and tasks"]
    make_task(rule, created_at=datetime(2026, 11, 23, 20, 16, tzinfo=UTC))
    page = console.get(reverse("admin:sync_synctask_changelist")).content.decode()
    assert "tcrconsole" in texts(page, "title")[0]
    assert "2026-11-23 20:16:00" in texts(page, "td")


def test_an_old_form_is_explained():
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403 and texts(answer.content.decode(), "h1") == ["This form has expired"]


def test_a_wrong_password_is_refused_plainly(client, db):
    page = client.post("/login/", {"username": "a", "password": SECRET}).content.decode()
    assert "The user name or the password is wrong. Both are case-sensitive." in texts(page, "p") and SECRET not in page
