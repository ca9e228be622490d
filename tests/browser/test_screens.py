"""Every page at two widths in two themes: pictures for people, and nothing that scrolls sideways."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from django.contrib.auth.forms import AuthenticationForm
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Error, Page, Route, expect

from tests.browser.conftest import Console
from tests.browser.support import CONTRAST, create_rule, register, sync_and_open, violations
from tests.fakes.registry import Answer
from tests.support import Relay

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
WIDTHS = (1280, 360)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RULE = "/i/guangzhou/rules/images-to-frankfurt/"
PAGES = {
    "login": "/login/",
    "rules": "/i/guangzhou/rules/",
    "rules-unmatched": "/i/guangzhou/rules/?q=nothing-like-this",
    "rules-none": "/i/frankfurt/rules/",
    "rule-new": "/i/guangzhou/new-rule/",
    "rule-edit": f"{RULE}edit/",
    "rule-delete": f"{RULE}delete/",
    "logs": RULE,
    "check": f"{RULE}check/",
    "check-done": f"{RULE}check/?run=1",
    "instances": "/instances/",
    "instance": "/i/guangzhou/namespaces/",
    "secret": "/i/guangzhou/secret/",
    "secret-remove": "/i/guangzhou/secret/remove/",
    "tokens": "/i/guangzhou/tokens/",
    "instance-new": "/instances/new/",
    "instance-edit": "/instances/guangzhou/edit/",
    "instance-delete": "/instances/guangzhou/delete/",
    "access": "/access/",
    "instance-access": "/i/guangzhou/access/",
    "where": "/where/",
    "where-found": "/where/?ref=prod/web/nginx:latest",
    "where-missing": "/where/?ref=registry.example/prod/web/nginx:gone",
    "where-refused": "/where/?ref=Prod+Web",
    "audit": "/audit/",
    "audit-rules": "/audit/?kind=rule",
    "audit-none": "/audit/?who=nobody",
    "preferences": "/preferences/",
    "password": "/password/",
    "help": "/help/",
    "admin": "/admin/",
    "admin-where": "/admin/where/?ref=prod/web/nginx:latest",
    "not-found": "/i/unknown/rules/",
}
# No address of a console that works as it should answers with these to an administrator.
LOCKED = {"name": "ann", "until": datetime(2026, 11, 30, 9, 15, tzinfo=UTC), "minutes": 15, "failures": 5}
REFUSED = {"reason": "The user ann belongs to somebody else at the provider. A platform administrator can help."}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "403": ("403.html", {}),
    "403_csrf": ("403_csrf.html", {}),
    "500": ("500.html", {}),
    "locked": ("registration/locked.html", LOCKED),
    "sso-failed": ("registration/sso_failed.html", REFUSED),
    "login-sso": ("registration/login.html", {"form": AuthenticationForm(), "sso": "Keycloak"}),
    "login-sso-only": ("registration/login.html", {"sso": "Keycloak", "sso_only": True}),
}
# What opens a dialog, by the page on which it is.
DIALOGS = (
    ("rule-delete", "/i/guangzhou/rules/", "^Delete"),
    ("instance-delete", "/instances/", "^Delete"),
    ("preferences", "/i/guangzhou/rules/", "^Theme and keyboard shortcuts$"),
)


@pytest.fixture
def task_url(page: Page) -> str:
    """The page of a task of the demo's rule for images that has ended."""
    page.goto(RULE)
    if page.get_by_role("row").count() == 0:
        page.get_by_role("button", name="Sync").click()
    page.locator("tbody").get_by_text("Succeeded").first.wait_for(timeout=60_000)
    return str(page.locator("tbody a").first.get_attribute("href"))


@contextmanager
def screen_of(page: Page, browser: Browser, console: Console, width: int) -> Iterator[Page]:
    """Another screen of the person who is signed in at `page`."""
    context = browser.new_context(
        storage_state=page.context.storage_state(),
        base_url=console.url,
        color_scheme="light",
        reduced_motion="reduce",
        viewport={"width": width, "height": 800},
    )
    yield context.new_page()
    context.close()


def picture(screen: Page, name: str, width: int, scheme: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    screen.evaluate("scrollTo(0, 0)")  # what sticks to an edge would stand in the midst
    path = SCREENSHOTS / f"{name}-{width}-{scheme}.png"
    try:
        screen.screenshot(path=path, full_page=True)
    except Error:  # on a busy machine Chromium now and then captures nothing
        screen.screenshot(path=path, full_page=True)


def fault(route: Route) -> None:
    """Answers with the page that is named by the last part of the address."""
    template, context = FAULTS[route.request.url.rstrip("/").rpartition("/")[2]]
    route.fulfill(body=render_to_string(template, context), content_type="text/html; charset=utf-8")


def look(screen: Page, name: str, url: str, width: int) -> None:
    screen.goto(url)
    expect(screen.locator(".busy.now"), "what comes after the page has come").to_have_count(0)
    wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert (name, wider) == (name, 0)
    assert (name, screen.locator("h1").count()) == (name, 1)
    check(screen, name, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits(page: Page, browser: Browser, console: Console, task_url: str, width: int) -> None:
    with screen_of(page, browser, console, width) as screen:
        screen.goto(task_url)
        repository_url = str(screen.locator("a[href*='/repositories/']").first.get_attribute("href"))
        tasks = {"task": task_url, "task-repository": repository_url, "task-stop": f"{task_url}stop/"}
        logs = {"task-log": "", "task-log-grouped": "?group=repository", "task-log-none": "?level=problems"}
        tasks |= {name: f"{task_url}log/{query}" for name, query in logs.items()}
        screen.route("**/faults/*/", fault)
        faults = {f"fault-{name}": f"/faults/{name}/" for name in FAULTS}
        for name, url in (PAGES | tasks | faults).items():
            look(screen, name, url, width)


def test_a_task_fits_whatever_becomes_of_it(page: Page, browser: Browser, console: Console) -> None:
    """One that runs, one whose target is away, and one that failed."""
    with Relay(console.registries["guangzhou"]) as endless, Relay(console.registries["frankfurt"]) as closed:
        with Relay(console.registries["frankfurt"]) as gone:
            pass
        endless.script("GET", "/v2/prod/web/nginx/manifests/", Answer(wait=True))
        closed.script("POST", "/v2/prod/web/", Answer(403))
        for name, url in (("endless", endless.url), ("closed", closed.url), ("gone", gone.url)):
            register(page, f"{name}-seen", "mars", url)
        urls = {}
        create_rule(page, "runs-on", source="endless-seen", Target_namespace="runs-on")
        sync_and_open(page, "runs-on")
        page.locator(".line", has_text="tags match").first.wait_for()
        urls["task-running"] = page.url
        create_rule(page, "waits", target="gone-seen (mars)")
        sync_and_open(page, "waits")
        page.locator("#wait").wait_for(timeout=30_000)
        urls["task-waiting"] = page.url
        create_rule(page, "fails", target="closed-seen (mars)")
        sync_and_open(page, "fails")
        page.locator(".state", has_text="Partial").wait_for(timeout=60_000)
        urls |= {"task-failed": page.url, "task-failed-log": f"{page.url}log/?level=problems"}
        urls |= {"task-failed-grouped": f"{page.url}log/?level=problems&group=repository"}
        urls |= {"instances-away": "/instances/", "rules-away": "/i/guangzhou/rules/"}
        for width in WIDTHS:
            with screen_of(page, browser, console, width) as screen:
                for name, url in urls.items():
                    look(screen, name, url, width)
                screen.goto(urls["task-waiting"])
                screen.get_by_role("link", name="Stop").or_(screen.get_by_role("button", name="Stop")).first.click()
                expect(screen.get_by_role("dialog")).to_be_visible()
                check(screen, "dialog-task-stop", width)
        for name in ("task-running", "task-waiting"):
            page.goto(f"{urls[name]}stop/")
            page.get_by_role("button", name="Stop task").click()
        page.locator(".state", has_text="Stopped").wait_for()
        for width in WIDTHS:
            with screen_of(page, browser, console, width) as screen:
                look(screen, "task-stopped", urls["task-waiting"], width)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_opens_on_a_page_can_be_used_by_all(page: Page, browser: Browser, console: Console, width: int) -> None:
    """The switcher, the dialogs, and the preview of a form that is filled in."""
    with screen_of(page, browser, console, width) as screen:
        screen.goto("/i/guangzhou/rules/")
        screen.locator(".switcher summary, .switcher > button").first.click()
        expect(screen.get_by_role("listbox").get_by_role("option", name=re.compile("^frankfurt"))).to_be_visible()
        check(screen, "switcher-open", width, within=".switcher")
        for name, url, opener in DIALOGS:
            screen.goto(url)
            if name == "rule-delete" and width < 1100:
                screen.locator("details.narrow summary").first.click()
                check(screen, "rules-menu-open", width)
            named = re.compile(opener)
            screen.get_by_role("link", name=named).or_(screen.get_by_role("button", name=named)).first.click()
            expect(screen.get_by_role("dialog")).to_be_visible()
            check(screen, f"dialog-{name}", width)
        screen.goto("/i/guangzhou/new-rule/")
        screen.locator("select#id_source_namespace").select_option("prod")
        screen.get_by_label("Target instance").select_option(label="frankfurt (eu-frankfurt)")
        expect(screen.locator("#preview-count")).to_contain_text("tags match")
        check(screen, "preview-filled", width)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_token_can_be_copied_by_all(page: Page, browser: Browser, console: Console, width: int) -> None:
    """It is shown once, by the page that follows its form."""
    with screen_of(page, browser, console, width) as screen:
        screen.goto("/i/guangzhou/tokens/")
        screen.get_by_label("Name").fill(f"release-{width}")
        screen.get_by_role("button", name="Make").click()
        expect(screen.locator("#copy-token")).to_contain_text("tcrc_")
        check(screen, "token-made", width)
        wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider == 0


def test_a_credential_that_ends_soon_fits(page: Page, browser: Browser, console: Console) -> None:
    """The warning on the page of the instance, in the list, and at its rules."""
    register(page, "ends-soon", "mars", console.registries["frankfurt"])
    page.goto("/instances/ends-soon/edit/")
    page.get_by_label("User name").fill("robot")
    page.locator("#id_password").fill("a password")
    page.get_by_label("Password ends on").fill((datetime.now(UTC) + timedelta(days=5)).date().isoformat())
    page.get_by_role("button", name="OK").click()
    page.get_by_role("heading", name="Instances").wait_for()
    create_rule(page, "to-the-ending", target="ends-soon (mars)")
    urls = {"ends-instance": "/i/ends-soon/", "ends-instances": "/instances/", "ends-rules": "/i/guangzhou/rules/"}
    urls["ends-form"] = "/instances/ends-soon/edit/"
    for width in WIDTHS:
        with screen_of(page, browser, console, width) as screen:
            for name, url in urls.items():
                look(screen, name, url, width)
                if "form" not in name:
                    expect(screen.get_by_text("Credential ends in").first).to_be_visible()


def check(screen: Page, name: str, width: int, within: str = "html") -> None:
    """As it is now, in both themes: in the other one nothing but colours is another."""
    assert (name, violations(screen, within)) == (name, [])
    for scheme in SCHEMES:
        screen.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        picture(screen, name, width, scheme)
    assert (name, violations(screen, within, CONTRAST)) == (name, [])
    screen.emulate_media(color_scheme="light", reduced_motion="reduce")
