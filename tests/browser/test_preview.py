"""The preview follows the typing, and the form is saved as before."""

from contextlib import closing
from itertools import product

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console
from tests.browser.test_screens import SCHEMES, SCREENSHOTS, WIDTHS, screen_of


def fill(page: Page) -> None:
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_label("Source namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label="frankfurt (eu-frankfurt)")
    page.get_by_label("Target namespace").fill("seen-before")


def test_the_preview_follows_what_is_typed(page: Page) -> None:
    fill(page)
    status = page.locator("#preview [role=status]")
    expect(status).to_contain_text("9 repositories, 31 tags match.")
    expect(page.locator("#preview li")).to_have_count(20)
    expect(page.locator("#preview")).to_contain_text("And 11 more.")
    page.get_by_label("Repositories", exact=False).first.press_sequentially("web/.*", delay=20)
    expect(status).to_contain_text("2 repositories, 9 tags match.")
    expect(page.locator("#preview li").first).to_contain_text(
        "prod/web/frontend:latest → seen-before/web/frontend:latest"
    )
    expect(page.locator("#preview li .mark").first).to_have_text("new")
    page.get_by_label("Repositories", exact=False).first.fill("web/(")
    expect(page.locator("#preview")).to_contain_text("missing ): web/(")


@pytest.mark.parametrize("script", [True, False])
def test_enter_in_a_field_saves_the_rule(script: bool, page: Page, browser: Browser, console: Console) -> None:
    """The preview has a button of its own, which comes before OK."""
    context = browser.new_context(
        storage_state=page.context.storage_state(), base_url=console.url, java_script_enabled=script
    )
    with closing(context):
        form = context.new_page()
        fill(form)
        name = f"entered-{'live' if script else 'plain'}"
        form.get_by_label("Name", exact=True).fill(name)
        form.get_by_label("Name", exact=True).press("Enter")
        expect(form).to_have_url(f"{console.url}/i/guangzhou/rules/")
        expect(form.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_the_preview_fits(page: Page, browser: Browser, console: Console) -> None:
    for width, scheme in product(WIDTHS, SCHEMES):
        with screen_of(page, browser, console, width, scheme) as screen:
            fill(screen)
            expect(screen.locator("#preview [role=status]")).to_contain_text("31 tags match.")
            SCREENSHOTS.mkdir(exist_ok=True)
            screen.screenshot(path=SCREENSHOTS / f"preview-{width}-{scheme}.png", full_page=True)
            wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider == 0
