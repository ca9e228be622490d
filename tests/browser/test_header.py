"""The switcher of instances by keyboard, messages that leave by themselves, and the count of failing rules."""

import re

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import register, violations

RULES = "/i/guangzhou/rules/"
# Enough for a field that filters the instances.
MANY = 8


def choices(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Instances")


def open_switcher(page: Page) -> None:
    page.goto(RULES)
    page.locator(".switcher summary").press("Enter")
    expect(choices(page)).to_be_visible()


def test_a_short_list_is_walked_by_arrows_and_by_first_letters(page: Page) -> None:
    open_switcher(page)
    current = choices(page).get_by_role("option", selected=True)
    expect(current).to_have_count(1)
    expect(current).to_contain_text("guangzhou")
    expect(current).to_be_focused()
    other = choices(page).get_by_role("option", name=re.compile("^frankfurt"))
    page.keyboard.type("fr")
    expect(other).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(choices(page).get_by_role("option").first).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    expect(choices(page).get_by_role("option").last).to_be_focused()
    # Letters that are shortcuts elsewhere choose here.
    page.wait_for_timeout(800)
    page.keyboard.type("ci?")
    expect(page).to_have_url(re.compile(f"{RULES}$"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(choices(page)).to_be_hidden()
    expect(page.locator(".switcher summary")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_timeout(800)
    page.keyboard.type("f")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/i/frankfurt/rules/"))


def test_a_long_list_has_a_field_that_filters_it(page: Page, console: Console) -> None:
    for number in range(MANY):
        register(page, f"walk-{number}", "mars", console.registries["guangzhou"])
    open_switcher(page)
    field = page.get_by_label("Filter instances")
    expect(field).to_be_focused()
    field.press_sequentially("walk-")
    expect(choices(page).get_by_role("option")).to_have_count(MANY)
    expect(page.locator("#announcer")).to_have_text(f"{MANY} instances")
    assert violations(page, within=".switcher") == []
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    expect(choices(page).get_by_role("option", name=re.compile("^walk-1"))).to_be_focused()
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    expect(field).to_be_focused()
    field.fill("nowhere")
    expect(page.get_by_text("No instance matches.")).to_be_visible()
    field.fill("")
    page.keyboard.press("ArrowDown")
    # From a choice, letters go on in the field.
    page.keyboard.type("walk-1")
    expect(field).to_have_value("walk-1")
    page.keyboard.press("Enter")
    expect(page.locator(".switcher summary")).to_contain_text("walk-1")


def test_after_the_way_back_the_switcher_is_still_a_list_box(page: Page) -> None:
    page.goto(RULES)
    page.get_by_label("Search", exact=True).fill("images")
    expect(page).to_have_url(re.compile("q=images"))
    page.go_back()
    expect(page).to_have_url(re.compile(f"{RULES}$"))
    page.locator(".switcher summary").press("Enter")
    expect(choices(page)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    expect(choices(page).get_by_role("option").last).to_be_focused()


def test_without_script_the_switcher_is_a_list_of_links(page: Page, browser: Browser, console: Console) -> None:
    state = page.context.storage_state()
    context = browser.new_context(storage_state=state, base_url=console.url, java_script_enabled=False)
    plain = context.new_page()
    plain.goto(RULES)
    plain.locator(".switcher summary").click()
    expect(plain.locator(".choices input")).to_be_hidden()
    plain.locator(".switcher .choices").get_by_role("link", name=re.compile("^frankfurt")).click()
    expect(plain).to_have_url(re.compile("/i/frankfurt/rules/"))
    context.close()


def toast(page: Page) -> Locator:
    """What the switch of a rule says."""
    page.goto(RULES)
    for _ in range(2):
        page.get_by_role("switch").first.click()
        expect(page.locator("#toasts .toast")).to_have_count(1)
        page.wait_for_timeout(300)
    return page.locator("#toasts .toast")


def test_a_message_leaves_by_itself_unless_somebody_is_at_it_and_stays_in_the_announcer(page: Page) -> None:
    shown = toast(page)
    expect(page.locator("#announcer")).to_have_text(re.compile("Rule .* is enabled|Rule .* is disabled"))
    shown.get_by_role("button", name="Close this message").focus()
    page.wait_for_timeout(10_000)
    expect(shown).to_be_visible()
    page.locator("h1").click()
    expect(shown).to_have_count(0, timeout=12_000)
    expect(page.locator("#announcer")).to_have_text(re.compile("Rule "))


def test_a_message_can_be_closed_and_an_error_stays_until_then(page: Page) -> None:
    shown = toast(page)
    shown.get_by_role("button", name="Close this message").click()
    expect(shown).to_have_count(0)
    expect(page.locator("main")).to_be_focused()
    page.evaluate("tell('Not done.')")
    expect(page.locator("#announcer")).to_have_text("Not done.")
    page.mouse.move(0, 0)
    page.wait_for_timeout(10_500)
    expect(page.get_by_text("Not done.").first).to_be_visible()
    page.locator("#toasts").get_by_role("button", name="Close").press("Enter")
    expect(shown).to_have_count(0)


def test_help_is_reached_from_the_header_and_fits(page: Page) -> None:
    page.goto(RULES)
    page.get_by_role("banner").get_by_role("link", name="Help").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Help")
    columns = {round(box["x"]) for part in page.locator(".guide > section").all() if (box := part.bounding_box())}
    assert len(columns) == 2
    page.set_viewport_size({"width": 360, "height": 800})
    columns = {round(box["x"]) for part in page.locator(".guide > section").all() if (box := part.bounding_box())}
    assert len(columns) == 1


def test_where_the_field_has_no_room_an_icon_leads_to_its_page(page: Page) -> None:
    page.goto(RULES)
    banner = page.get_by_role("banner")
    field, link = banner.get_by_role("searchbox"), banner.get_by_role("link", name="Where is it?", exact=True)
    for width in (1280, 901, 900, 600, 320):
        page.set_viewport_size({"width": width, "height": 800})
        expect(field).to_be_visible(visible=width > 900)
        expect(link).to_be_visible(visible=width <= 900)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"scrolls at {width}"
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where is it?")
    expect(page.locator("#ref")).to_be_focused()


def test_a_poll_brings_the_count_of_failing_rules_into_the_navigation(page: Page) -> None:
    counts = page.locator(".nav-counts")
    fragment = '<span id="nav-counts" hx-swap-oob="innerHTML:.nav-counts"><span class="mark fail">7</span></span>'
    page.route("**/rules/?*seen=*", lambda route: route.fulfill(body=f'{fragment}<div id="rules" class="live"></div>'))
    page.goto(RULES)
    page.evaluate("document.body.dispatchEvent(new Event('refresh'))")
    expect(counts).to_have_text(["7", "7"])


def test_a_time_tells_the_readers_zone_and_utc_also_what_a_poll_brings(page: Page, browser: Browser) -> None:
    state = page.context.storage_state()
    with browser.new_context(storage_state=state, base_url=page.url, timezone_id="Asia/Kolkata") as context:
        reader = context.new_page()
        reader.goto(RULES)
        if not reader.get_by_role("link", name=re.compile(r"Task \d+")).count():
            reader.get_by_role("button", name="Sync").first.click()
        reader.get_by_role("link", name=re.compile(r"Task \d+")).first.click()
        expect(reader.locator("#log-tail")).to_have_text("End of the log.", timeout=60_000)
        titles = reader.locator("time").evaluate_all("times => times.map((time) => time.title)")
        assert len(titles) > 3
        told = re.compile(r"[\d-]{10} [\d:]{8} UTC\+05:30 \([\d-]{10} [\d:]{8} UTC\)")
        assert [title for title in titles if not told.fullmatch(title)] == []
