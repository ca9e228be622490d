"""The list of rules and the form of a rule by keyboard, at the widths where they change."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Console
from tests.browser.support import create_rule, reach, register, violations
from tests.browser.test_screens import SCREENSHOTS

RULES = "/i/guangzhou/rules/"
NAMES = "tbody th[scope=row] a"


def test_the_list_is_sorted_in_place_and_a_filter_keeps_the_order(page: Page) -> None:
    page.goto(RULES)
    names = page.locator(NAMES)
    given = names.all_text_contents()
    page.evaluate("window.same = true")
    head = page.get_by_role("link", name="Name", exact=True)
    reach(page, head)
    page.keyboard.press("Enter")
    expect(names).to_have_text(list(reversed(given)))
    expect(page).to_have_url(re.compile(r"\?sort=-name$"))
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    expect(head).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("sorted by name, descending")
    page.get_by_label("Search", exact=True).fill("to-frankfurt")
    expect(page).to_have_url(re.compile(r"q=to-frankfurt&sort=-name$|sort=-name&q=to-frankfurt$"))
    expect(names).to_have_text([name for name in reversed(given) if "to-frankfurt" in name])
    page.go_back()
    expect(names).to_have_text(list(reversed(given)))
    assert page.evaluate("window.same"), "the page was not loaded again"


@pytest.mark.parametrize("width", [360, 960])
def test_where_it_is_narrow_heads_are_seen_and_more_operations_are_in_a_menu(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(RULES)
    reach(page, page.get_by_role("link", name="Lag", exact=True))
    inside = page.get_by_role("link", name=re.compile("^Configuration of"))
    assert inside.count() == 0
    expect(
        page.get_by_role("button", name=re.compile("^Sync ")).or_(page.get_by_text("View run")).first
    ).to_be_visible()
    menu = page.locator("details.narrow summary").first
    expect(menu).to_have_accessible_name(re.compile("^More operations of "))
    reach(page, menu)
    page.keyboard.press("Enter")
    expect(inside).to_have_count(1)
    box = page.locator("details.narrow[open] .choices").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
    page.keyboard.press("Escape")
    expect(inside).to_have_count(0)
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(inside).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()


def test_a_list_that_looks_again_leaves_a_menu_open(page: Page) -> None:
    page.set_viewport_size({"width": 960, "height": 800})
    page.goto(RULES)
    page.locator("details.narrow summary").first.click()
    polled: list[str] = []
    page.on("request", lambda request: polled.append(request.url))
    look_again = "document.body.dispatchEvent(new Event('tab:visible'))"
    page.evaluate(look_again)
    page.wait_for_timeout(500)
    expect(page.locator("details.narrow[open]")).to_have_count(1)
    assert polled == []
    page.keyboard.press("Escape")
    with page.expect_request(re.compile("/i/guangzhou/rules/")):
        page.evaluate(look_again)


def test_the_first_rule_that_comes_brings_the_filters(page: Page, console: Console) -> None:
    register(page, "just-made", "mars", console.registries["guangzhou"])
    page.goto("/i/just-made/rules/")
    expect(page.get_by_role("link", name="Create")).to_have_count(1)
    expect(page.get_by_label("State")).to_be_hidden()
    other = page.context.new_page()
    create_rule(other, "the-first", source="just-made")
    other.close()
    page.evaluate("document.body.dispatchEvent(new Event('tab:visible'))")
    expect(page.get_by_role("link", name="the-first", exact=True)).to_be_visible()
    expect(page.get_by_label("State")).to_be_visible()
    expect(page.get_by_role("link", name="Create")).to_have_count(1)


# The first row as it is while its rule runs: its words are wider then.
BUSY = """() => {
  const row = document.querySelector("table.rules tbody tr");
  row.querySelector("[data-label='Last run']").innerHTML =
    '<span class="status"><svg class="icon"></svg>Synchronizing</span>' +
    '<span class="sub"><a href="#">Task 1234567</a> · 59 min ago</span>';
  row.querySelector("[id^=sync-]").textContent = "View run";
}"""


@pytest.mark.parametrize("width", [1100, 1170, 1200, 1240, 1280, 1600])
def test_where_there_is_room_all_operations_are_seen(page: Page, width: int) -> None:
    create_rule(page, f"a-rule-with-a-long-name-for-{width}", Target_namespace="a-long-target-namespace/within")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(RULES)
    for name in ("Configuration of", "Delete"):
        expect(page.get_by_role("link", name=re.compile(f"^{name} ")).first).to_be_visible()
    expect(page.locator("details.narrow summary").first).to_be_hidden()
    page.screenshot(path=SCREENSHOTS / f"rules-wide-{width}.png")
    assert (
        page.locator(".rules .switch-word").evaluate_all("all => Math.max(...all.map(one => one.offsetHeight))") == 16
    )
    expect(page.get_by_role("link", name="Lag", exact=True)).to_be_visible(visible=width not in (1170, 1200, 1240))
    page.evaluate(BUSY)
    page.screenshot(path=SCREENSHOTS / f"rules-busy-{width}.png")
    table = page.locator("table.rules")
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# Of what has the focus nothing lies under the bar of OK and Cancel, nor under the head of the page.
HIDDEN = """() => {
  const active = document.activeElement, bar = document.querySelector("#rule-form > .buttons");
  if (bar.contains(active) || !active.closest("#rule-form .fields, #rule-form .glance")) return "";
  const box = active.getBoundingClientRect(), top = document.querySelector(".top").getBoundingClientRect();
  const head = getComputedStyle(document.querySelector(".top")).position === "sticky" ? top.bottom : 0;
  const under = box.bottom > bar.getBoundingClientRect().top && box.right > bar.getBoundingClientRect().left
    && box.left < bar.getBoundingClientRect().right;
  return under || box.top < head ? `${active.id} ${box.top} ${box.bottom}` : "";
}"""


@pytest.mark.parametrize("width", [1280, 360])
def test_ok_stays_in_view_and_never_hides_what_has_the_focus(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    page.goto("/i/guangzhou/new-rule/")
    page.locator("select#id_source_namespace").select_option("prod")
    expect(page.locator("#preview-count")).to_contain_text("tags match")
    bar = page.locator("#rule-form > .buttons")
    last = page.get_by_role("link", name="Cancel")
    for place in (0, 200, 10_000):
        page.evaluate(f"scrollTo(0, {place})")
        for inside in (bar.get_by_role("button", name="OK"), last):
            expect(inside).to_be_in_viewport(ratio=1)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"rule-form-bar-{width}.png")
    page.get_by_label("Name", exact=True).focus()
    for key in ("Tab", "Shift+Tab"):
        for _ in range(40):
            page.keyboard.press(key)
            assert page.evaluate(HIDDEN) == ""
            if key == "Tab" and last.evaluate("link => link === document.activeElement"):
                break
    assert violations(page) == []
