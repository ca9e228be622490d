"""Who is told when a task ends, and a circle that is closed: with the eyes of who sets them up."""

from collections.abc import Iterator
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from demo import artifacts, content
from demo.content import Tagged
from tests.browser.conftest import Console
from tests.browser.support import create_rule, violations
from tests.browser.test_screens import SCHEMES, SCREENSHOTS, WIDTHS

PAGE = "/i/guangzhou/rules/told/"


def photograph(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    for width, scheme in product(WIDTHS, SCHEMES):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls at {width}"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})


@pytest.fixture
def rules(page: Page) -> Iterator[None]:
    """They go again: other tests share the console."""
    create_rule(page, "told", Repositories="nothing-is-called-so")
    yield
    for source, name in (("frankfurt", "back"), ("guangzhou", "told")):
        page.goto(f"/i/{source}/rules/{name}/delete/")
        page.get_by_role("button", name="Delete").click()
        expect(page.locator("#toasts").get_by_text(f"Rule {name} is deleted.")).to_be_visible()


@pytest.mark.usefixtures("rules")
def test_a_webhook_and_a_circle(page, console: Console):
    page.goto(f"{PAGE}edit/")
    page.get_by_text("Tell others when a task ends").click()
    page.get_by_label("Address").fill("https://127.0.0.1:9/hook")
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_text("Enter a secret").first).to_be_visible()
    photograph(page, "rule-webhook")
    assert violations(page) == []
    page.get_by_label("Secret").fill("correct horse battery")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#toasts").get_by_text("Rule told is saved.")).to_be_visible()

    page.goto(PAGE)
    page.get_by_role("button", name="Sync").first.click()
    told = page.locator("#told")
    expect(told.get_by_text("127.0.0.1 is private").first).to_be_visible(timeout=60_000)
    expect(told.get_by_role("button", name="Send again")).to_have_count(1)
    test = told.get_by_role("button", name="Send a test")
    test.press("Enter")
    expect(page.locator("#toasts").get_by_text("The test was not taken.")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("The test was not taken.")
    expect(test).to_be_focused()
    photograph(page, "rule-told")
    assert violations(page) == []

    image = artifacts.image([artifacts.layer({"told": b"there"})])
    content.push([Tagged("prod/told/web", "v1", image)], console.registries["frankfurt"])
    page.goto("/i/frankfurt/namespaces/?refresh")
    page.goto("/i/frankfurt/new-rule/")
    page.get_by_label("Name", exact=True).fill("back")
    page.locator("select#id_source_namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label="guangzhou (ap-guangzhou)")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#toasts").get_by_text("This closes a circle: frankfurt/back")).to_be_visible()
    photograph(page, "circle")
    assert violations(page) == []
