"""Filters in a browser: while one types, by the way back, and without script."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import create_rule, sync_and_open

RULES = "/i/guangzhou/rules/"


def test_rules_are_filtered_while_one_types(page: Page) -> None:
    page.goto(RULES)
    names = page.locator("tbody th a")
    everything = names.count()
    assert everything > 1
    page.evaluate("window.same = true")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if re.search(r"\?q=[^&]*$", request.url) else None)
    search = page.get_by_label("Search", exact=True)
    # All in one moment, as a machine that is busy would stretch pauses between keys to a rest.
    search.focus()
    search.evaluate(
        """(field, word) => {
          for (const letter of word) {
            field.value += letter;
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
          }
        }""",
        "images-to",
    )
    expect(names).to_have_text(["images-to-frankfurt"])
    expect(page.locator("#announcer")).to_have_text("1 rule")
    expect(search).to_be_focused()
    expect(page).to_have_url(re.compile(r"rules/\?q=images-to$"))
    assert len(asked) == 1, "it asks when the typing rests"
    page.get_by_label("State").select_option("disabled")
    expect(page.get_by_text("No rule of this instance matches these filters.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?q=images-to&state=disabled$"))
    page.go_back()
    expect(names).to_have_text(["images-to-frankfurt"])
    expect(search).to_have_value("images-to")
    expect(page.get_by_label("State")).to_have_value("")
    assert page.evaluate("window.same"), "the page was not loaded again"
    page.get_by_role("link", name="Clear filters").click()
    expect(names).to_have_count(everything)
    expect(search).to_have_value("")


def test_filters_work_without_script(page: Page, browser: Browser, console: Console) -> None:
    context = browser.new_context(
        storage_state=page.context.storage_state(), base_url=console.url, java_script_enabled=False
    )
    plain = context.new_page()
    plain.goto(RULES)
    plain.get_by_label("Search", exact=True).fill("images-to")
    plain.get_by_role("button", name="Filter").click()
    expect(plain.locator("tbody th a")).to_have_text(["images-to-frankfurt"])
    expect(plain.get_by_label("Search", exact=True)).to_have_value("images-to")
    context.close()


def test_the_repositories_of_a_task_are_filtered_and_polls_leave_the_field_alone(page: Page) -> None:
    create_rule(page, "filtered", Target_namespace="filtered")
    sync_and_open(page, "filtered")
    expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
    page.get_by_role("link", name=re.compile("Copied")).click()
    expect(page).to_have_url(re.compile(r"\?show=copied#"))
    names = page.locator(".repositories > tbody > tr:first-child > th .code:first-child")
    assert names.count() > 1
    page.get_by_label("Search repositories").fill("nginx")
    expect(names).to_have_text(["prod/web/nginx"])
    expect(page).to_have_url(re.compile(r"show=copied&q=nginx|q=nginx&show=copied"))
