"""Every page at two widths in two themes: pictures for people, and nothing that scrolls sideways."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Console

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
RULE = "/i/guangzhou/rules/images-to-frankfurt/"
PAGES = {
    "login": "/login/",
    "rules": "/i/guangzhou/rules/",
    "rules-none": "/i/frankfurt/rules/",
    "rule-new": "/i/guangzhou/new-rule/",
    "rule-edit": f"{RULE}edit/",
    "rule-delete": f"{RULE}delete/",
    "logs": RULE,
    "task": "/i/guangzhou/tasks/1/",
    "instances": "/instances/",
    "instance-new": "/instances/new/",
    "instance-edit": "/instances/guangzhou/edit/",
    "instance-delete": "/instances/guangzhou/delete/",
    "not-found": "/i/unknown/rules/",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_fits(page: Page, browser: Browser, console: Console, width: int, scheme: str) -> None:
    page.goto("/i/guangzhou/rules/")
    if page.get_by_role("link", name="Task 1").count() == 0:
        page.get_by_role("button", name="Sync").first.click()
        page.get_by_role("link", name="Task 1").first.wait_for()
    context = browser.new_context(
        storage_state=page.context.storage_state(),
        base_url=console.url,
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 800},
    )
    screen = context.new_page()
    SCREENSHOTS.mkdir(exist_ok=True)
    for name, url in PAGES.items():
        screen.goto(url)
        screen.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (name, wider) == (name, 0)
        assert (name, screen.locator("h1").count()) == (name, 1)
    context.close()
