"""What walks through the console do again and again."""

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

# Rules of the WCAG up to 2.2, A and AA, and what axe recommends besides.
AXE = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}

CONTRAST = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}

OUTLINE = "element => element === document.activeElement && getComputedStyle(element).outlineStyle"


def violations(page: Page, within: str = "html", options: dict[str, Any] = AXE) -> list[str]:
    """What axe finds on the page as it is now, all of it in view: what sticks to an edge hides nothing then.

    What floats hides parts of the page that can be had by closing it: look `within` it alone.
    """
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": height})
    found = Axe().run(page, context=within, options=options).response["violations"]
    page.set_viewport_size(size)
    return [f"{one['id']}: {one['help']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def reach(page: Page, wanted: Locator, most: int = 90) -> None:
    """Goes on by Tab until it has the focus, and sees to it that one can see where it is."""
    expect(wanted).to_be_visible()
    for _ in range(most):
        if outline := wanted.evaluate(OUTLINE):  # asked at once: what is loading may take the focus a moment later
            assert outline != "none", "the focus is seen"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached by {most} times Tab")


def register(page: Page, name: str, region: str, url: str) -> None:
    page.goto("/instances/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Region", exact=True).fill(region)
    page.get_by_label("Address", exact=True).fill(url)
    page.get_by_role("button", name="OK").click()
    page.get_by_role("heading", name="Instances").wait_for()


def create_rule(
    page: Page, name: str, target: str = "frankfurt (eu-frankfurt)", source: str = "guangzhou", **fields: str
) -> None:
    page.goto(f"/i/{source}/rules/")
    page.get_by_role("link", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Instance Synchronization Rule")
    page.get_by_label("Name", exact=True).fill(name)
    page.locator("select#id_source_namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label=target)
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=False).first.fill(text)
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def sync_and_open(page: Page, rule: str) -> None:
    """From the list of rules to the page of the task that Sync starts."""
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=rule, exact=True))
    row.get_by_role("button", name="Sync").click()
    row.get_by_role("link", name=re.compile(r"Task \d+")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(rf"Task \d+ of {rule}"))
