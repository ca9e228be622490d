"""The form of an instance shows what belongs to the chosen kind of registry, and nothing of the others."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import violations
from tests.browser.test_screens import WIDTHS, picture, screen_of


@pytest.mark.parametrize("width", WIDTHS)
def test_the_form_follows_the_kind(page: Page, browser: Browser, console: Console, width: int) -> None:
    with screen_of(page, browser, console, width) as screen:
        screen.goto("/instances/new/")
        kind, key = screen.get_by_label("Kind"), screen.get_by_label("SecretId")
        advice = screen.locator(".advice:visible")
        example = screen.locator("#id_url_helptext span:visible")
        expect(key).to_be_hidden()
        expect(advice).to_have_count(0)
        expect(example).to_have_text("For example https://registry.example:5000")
        kind.select_option("tcr")
        expect(key).to_be_visible()
        expect(advice).to_contain_text("SecretId")
        expect(example).to_have_text("For example https://name.tencentcloudcr.com")
        picture(screen, "instance-new-tcr", width, "light")
        assert violations(screen) == []
        kind.select_option("dockerhub")
        expect(key).to_be_hidden()
        expect(advice).to_contain_text("personal access token")
        expect(example).to_have_text("Blank: https://registry-1.docker.io, as for everybody.")
        picture(screen, "instance-new-dockerhub", width, "light")
        # Refused, the form still shows the kind.
        screen.get_by_role("button", name="OK").click()
        expect(screen.get_by_text("Enter a name.").first).to_be_visible()
        expect(advice).to_contain_text("personal access token")
        expect(example).to_have_text("Blank: https://registry-1.docker.io, as for everybody.")


def test_roles_are_given_on_the_page_of_access(page: Page) -> None:
    page.goto("/admin/auth/group/add/")
    page.get_by_label("Name").fill("operators")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/i/frankfurt/access/")
    page.get_by_label("Person or group").select_option(label="operators")
    page.get_by_label("Role").select_option("operate_instance")
    page.get_by_role("button", name="Give").click()
    expect(page.locator("#toasts")).to_contain_text("operators is now Operator on frankfurt.")
    assert violations(page) == []
    picture(page, "instance-access-given", 1280, "light")
    page.get_by_role("button", name="Remove Operator of operators").click()
    expect(page.get_by_text("Nobody has a role here")).to_be_visible()
