"""Setting up a registry on the page of its instance: what is to be copied, and what asks first."""

from playwright.sync_api import Page, expect

from tests.browser.support import violations


def test_what_the_registry_needs_is_copied_by_a_button(page: Page, console):
    page.goto("/i/frankfurt/")
    section = page.get_by_role("region", name="Notifications")
    for summary in section.locator("summary").all()[1:]:  # that of its own kind is open
        summary.click()
    section.get_by_role("button", name="Copy the lines for config.yml").click()
    expect(section.locator("[data-copy=copy-distribution]")).to_have_text("Copied")
    expect(page.locator("#announcer")).to_have_text("Copied")
    selected = page.evaluate("getSelection().toString()")
    assert selected.startswith("notifications:") and f"url: {console.url}/hooks/frankfurt/" in selected
    assert violations(page) == []


def test_replacing_the_secret_asks_first(page: Page):
    page.goto("/i/frankfurt/")
    page.get_by_role("link", name="Replace the secret").click()
    dialog = page.get_by_role("dialog", name="Replace the secret of frankfurt (eu-frankfurt)?")
    expect(dialog.get_by_text("stops working at once")).to_be_visible()
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Replace the secret")).to_be_focused()
