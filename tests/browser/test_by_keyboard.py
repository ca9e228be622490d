"""The whole of a rule's life without a mouse."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import create_rule, reach, register
from tests.fakes.registry import Answer
from tests.support import Relay


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    reach(page, wanted)
    page.keyboard.press(key)


def write(page: Page, label: str, text: str) -> None:
    reach(page, page.get_by_label(label, exact=True))
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def test_create_sync_open_a_failure_retry_configure_switch_and_delete(page: Page, console: Console) -> None:
    with Relay(console.registries["frankfurt"]) as target:
        target.script("POST", "/v2/", Answer(403))
        register(page, "by-keys", "mars", target.url)
        page.goto("/i/frankfurt/rules/")

        # The instance is changed in the switcher.
        press(page, page.locator(".switcher summary"))
        choice = page.locator(".switcher").get_by_role("option", name=re.compile("^guangzhou"))
        expect(choice).to_be_visible()
        page.keyboard.press("Home")
        while not choice.evaluate("option => option === document.activeElement"):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/i/guangzhou/rules/"))

        press(page, page.get_by_role("link", name="Create"))
        write(page, "Name", "keys")
        reach(page, page.get_by_label("Source namespace"))
        page.keyboard.type("prod")
        write(page, "Repositories (optional)", "web/nginx")
        write(page, "Tags (optional)", "latest")
        reach(page, page.get_by_label("Target instance"))
        page.keyboard.type("by-keys")
        write(page, "Target namespace (optional)", "keys")
        expect(page.locator("#preview-count")).to_contain_text("1 repository, 1 tag match")
        press(page, page.get_by_role("button", name="OK"))

        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="keys", exact=True))
        press(page, row.get_by_role("button", name="Sync"))
        press(page, row.get_by_role("link", name=re.compile(r"Task \d+")))
        expect(page.locator(".state")).to_contain_text("Failed", timeout=60_000)
        expect(page.get_by_text("Target by-keys").first).to_be_visible()

        target.script("POST", "/v2/", target.forward)
        press(page, page.get_by_role("button", name="Retry failed (1)"))
        expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)

        press(page, page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="keys"))
        press(page, page.get_by_role("link", name="Configuration"))
        write(page, "Description (optional)", "by keyboard alone")
        press(page, page.get_by_role("button", name="OK"))
        expect(page.locator("#toasts").get_by_text("is saved")).to_be_visible()

        press(page, row.get_by_role("switch"), " ")
        expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
        expect(row.get_by_role("switch")).to_be_focused()
        delete = row.get_by_role("link", name="Delete").or_(row.get_by_role("button", name="Delete"))
        cancel = page.get_by_role("link", name="Cancel").or_(page.get_by_role("button", name="Cancel"))
        press(page, delete)
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(cancel).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        press(page, delete)
        expect(cancel).to_be_focused()
        press(page, page.get_by_role("dialog").get_by_role("button", name=re.compile("Delete")))
        expect(page.get_by_role("link", name="keys", exact=True)).to_have_count(0)


def test_a_long_task_is_stopped(page: Page, console: Console) -> None:
    with Relay(console.registries["guangzhou"]) as source:
        source.script("GET", "/v2/prod/web/nginx/manifests/", Answer(wait=True))
        register(page, "endless-by-keys", "mars", source.url)
        create_rule(page, "long-by-keys", source="endless-by-keys", Target_namespace="long-by-keys")
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="long-by-keys", exact=True))
        press(page, row.get_by_role("button", name="Sync"))
        press(page, row.get_by_role("link", name=re.compile(r"Task \d+")))
        expect(page.locator(".line", has_text="tags match").first).to_be_visible()

        stop = page.get_by_role("link", name="Stop")
        dialog = page.get_by_role("dialog", name=re.compile(r"Stop task \d+\?"))
        press(page, stop)
        expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        expect(stop).to_be_focused()  # the task may have been looked at again meanwhile
        page.keyboard.press("Enter")
        press(page, dialog.get_by_role("button", name="Stop task"))
        expect(page.locator(".state")).to_contain_text("Stopped")
        # Where one goes on is not the top of the page.
        press(page, page.get_by_role("link", name="By repository"))
        expect(page.locator(".group", has_text="prod/web/nginx")).to_be_visible()


def test_a_connection_is_tested_and_the_focus_stays(page: Page) -> None:
    test = page.get_by_role("button", name="Test connection")
    page.goto("/i/guangzhou/")
    press(page, test)
    expect(page.locator("#announcer")).to_have_text("The connection to guangzhou works.")
    expect(page.locator("#health .findings")).to_be_visible()
    expect(test).to_be_focused()
    page.goto("/instances/guangzhou/edit/")
    press(page, test)
    expect(page.get_by_role("status").get_by_text("Reachable")).to_be_visible()
    expect(test).to_be_focused()
    page.get_by_label("Address", exact=True).fill("no address")
    press(page, test)
    expect(page.get_by_role("alert")).to_be_visible()


def test_who_leaves_a_form_with_changes_is_asked(page: Page) -> None:
    asked: list[str] = []

    def stay(dialog):
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(re.compile("/rules/$"))
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Not A Name")
    assert asked == ["beforeunload"]
    # A form that was refused has still to be saved; one that was taken asks nothing.
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Not A Name")
    assert len(asked) == 2
    page.get_by_label("Name", exact=True).fill("left-alone")
    page.locator("select#id_source_namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label="frankfurt (eu-frankfurt)")
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("link", name="left-alone", exact=True)).to_be_visible()
    assert len(asked) == 2
