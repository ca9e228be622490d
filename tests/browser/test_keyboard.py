"""Keys, themes, and the question where something is, as a person uses them."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console

RULES = "/i/guangzhou/rules/"


def test_each_key_does_what_the_list_says(page: Page) -> None:
    page.goto(RULES)
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("ci?")
    expect(page.locator("#find")).to_have_value("ci?")
    expect(page).to_have_url(re.compile(f"{RULES}$"))
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Theme and keyboard shortcuts")
    expect(dialog).to_be_visible()
    page.keyboard.press("i")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("j")
    first, second = (page.locator("tbody th a").nth(number) for number in (0, 1))
    expect(first).to_be_focused()
    page.keyboard.press("j")
    expect(second).to_be_focused()
    page.keyboard.press("k")
    expect(first).to_be_focused()
    page.keyboard.press("c")
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Instance Synchronization Rule")
    page.locator("h1").click()
    page.keyboard.press("i")
    expect(page.get_by_role("heading", level=1)).to_have_text("Instances")
    page.keyboard.press("Control+i")
    expect(page.get_by_role("heading", level=1)).to_have_text("Instances")


def test_where_there_is_no_field_search_leads_to_the_page(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto("/instances/")
    page.keyboard.press("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Where is it?")
    expect(page.locator("#ref")).to_be_focused()


def test_shortcuts_can_be_switched_off_and_stay_off(page: Page) -> None:
    page.goto(RULES)
    page.keyboard.press("?")
    switch = page.get_by_role("switch", name="Keyboard shortcuts")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    expect(switch).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("?")
    page.goto("/instances/")
    page.keyboard.press("c")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/preferences/")
    page.get_by_role("switch", name="Keyboard shortcuts").click()
    expect(page.get_by_role("switch", name="Keyboard shortcuts")).to_have_attribute("aria-checked", "true")
    page.locator("h1").click()
    page.keyboard.press("i")
    expect(page.get_by_role("heading", level=1)).to_have_text("Instances")


def test_a_theme_is_taken_on_at_once_and_kept(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(RULES)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(246, 247, 249)"
    page.get_by_role("link", name="Theme and keyboard shortcuts").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(background) == "rgb(15, 20, 26)"
    page.goto("/instances/")
    assert page.evaluate(background) == "rgb(15, 20, 26)"
    page.goto("/preferences/")
    page.get_by_role("button", name="System").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    assert page.evaluate(background) == "rgb(246, 247, 249)"


def test_a_theme_can_be_chosen_without_script(page: Page, browser: Browser, console: Console) -> None:
    context = browser.new_context(
        storage_state=page.context.storage_state(), base_url=console.url, java_script_enabled=False
    )
    plain = context.new_page()
    plain.goto(RULES)
    plain.get_by_role("link", name="Theme and keyboard shortcuts").click()
    plain.get_by_role("button", name="Light").click()
    expect(plain.locator("html")).to_have_attribute("data-theme", "light")
    plain.get_by_role("button", name="System").click()
    plain.get_by_label("Where is an image or chart?").fill("prod/web/nginx:latest")
    plain.keyboard.press("Enter")
    expect(plain.get_by_role("heading", level=2).first).to_have_text("prod/web/nginx:latest")
    context.close()


def test_where_is_it_answers_from_the_header_of_any_page(page: Page) -> None:
    page.goto("/instances/")
    page.keyboard.press("/")
    page.keyboard.type("prod/web/nginx:latest")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2).first).to_have_text("prod/web/nginx:latest")
    expect(page.get_by_role("table", name="Which instances have prod/web/nginx:latest")).to_contain_text("There")
    page.evaluate("window.same = true")
    page.locator("#ref").fill("prod/web/nginx:v9.9.9")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("heading", level=2).first).to_have_text("prod/web/nginx:v9.9.9")
    expect(page.get_by_role("table", name="What each rule does with prod/web/nginx")).to_contain_text(
        "Not in the source"
    )
    expect(page).to_have_url(re.compile("v9.9.9"))
    expect(page).to_have_title("prod/web/nginx:v9.9.9 - Where is it? - Console")
    expect(page.locator("#announcer")).to_contain_text("prod/web/nginx:v9.9.9: There in 0 of ")
    assert page.evaluate("window.same"), "the page was not loaded again"
    page.locator("#ref").fill("Prod Web")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a")
    expect(page.locator("#announcer")).to_be_empty()


def test_a_dialog_gives_the_focus_back_also_when_its_opener_is_gone(page: Page) -> None:
    page.goto(RULES)
    opener = page.get_by_role("link", name=re.compile("Delete")).first
    for gone in (False, True):
        opener.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        if gone:
            page.locator("tbody").evaluate("rows => rows.replaceChildren()")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.get_by_role("heading", level=1) if gone else opener).to_be_focused()


def test_what_was_done_is_said_in_view(page: Page) -> None:
    page.goto(RULES)
    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.evaluate("tell('Not done.')")
    expect(page.locator("#toasts").get_by_text("Not done.")).to_be_in_viewport(ratio=1)
