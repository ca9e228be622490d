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
    "instances": "/instances/",
    "instance-new": "/instances/new/",
    "instance-edit": "/instances/guangzhou/edit/",
    "instance-delete": "/instances/guangzhou/delete/",
    "not-found": "/i/unknown/rules/",
}


@pytest.fixture
def task_url(page: Page) -> str:
    """The page of a task of the demo's rule for images that has ended."""
    page.goto(RULE)
    if page.get_by_role("row").count() == 0:
        page.get_by_role("button", name="Sync").click()
    page.locator("tbody").get_by_text("Succeeded").first.wait_for(timeout=60_000)
    return str(page.locator("tbody a").first.get_attribute("href"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_fits(
    page: Page, browser: Browser, console: Console, task_url: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        storage_state=page.context.storage_state(),
        base_url=console.url,
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 800},
    )
    screen = context.new_page()
    screen.goto(task_url)
    repository_url = str(screen.locator("a[href*='/repositories/']").first.get_attribute("href"))
    SCREENSHOTS.mkdir(exist_ok=True)
    tasks = {"task": task_url, "task-repository": repository_url, "task-stop": f"{task_url}stop/"}
    for name, url in (PAGES | tasks).items():
        screen.goto(url)
        screen.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (name, wider) == (name, 0)
        assert (name, screen.locator("h1").count()) == (name, 1)
    context.close()
