"""What comes by itself: a push, and deletions, of which too many are asked about."""

import re

import requests
from playwright.sync_api import Browser, Page, expect

from demo import artifacts, content
from demo.content import Tagged
from tests.browser.conftest import Console
from tests.browser.support import create_rule, reach
from tests.browser.test_screens import WIDTHS, look, screen_of
from tests.support import wait_until

REPOSITORY = "prod/going/web"


def pushed(url: str, tag: str) -> str:
    image = artifacts.image([artifacts.layer({"tag": tag.encode()})])
    content.push([Tagged(REPOSITORY, tag, image)], url)
    return image.digest


def test_a_push_arrives_and_much_that_is_deleted_is_asked_about(page: Page, browser: Browser, console: Console) -> None:
    source, target = console.registries["guangzhou"], console.registries["frankfurt"]
    create_rule(page, "going", Target_namespace="gone", Repositories="going/.*")
    page.goto("/i/guangzhou/rules/going/edit/")
    page.get_by_label("Delete what is deleted in the source").check()
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("link", name="going", exact=True)).to_be_visible()

    digests = [pushed(source, f"v{number}") for number in range(3)]
    page.goto("/i/guangzhou/rules/going/")
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="Push").first).to_contain_text("Succeeded", timeout=60_000)

    def arrived() -> list[str]:
        return requests.get(f"{target}/v2/gone/going/web/tags/list", timeout=10).json().get("tags") or []

    wait_until(lambda: sorted(arrived()) == ["v0", "v1", "v2"], 30, "all that was pushed")

    for digest in digests:
        assert requests.delete(f"{source}/v2/{REPOSITORY}/manifests/{digest}", timeout=10).status_code == 202
    page.get_by_text(re.compile(r"would be deleted")).first.wait_for(timeout=60_000)
    page.locator("tbody tr", has_text="would be deleted").first.get_by_role("link").first.click()
    asked = page.locator("#removals")
    expect(asked).to_contain_text("Waiting for your answer")
    url = page.url
    for width in WIDTHS:
        with screen_of(page, browser, console, width) as screen:
            look(screen, "task-asks", url, width)
    reach(page, asked.get_by_role("button", name=re.compile("Delete")))
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
    assert arrived() == []
