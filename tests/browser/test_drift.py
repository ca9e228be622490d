"""A check in a browser: it goes on by itself, stops, goes on again, and needs no script."""

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import product

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.registries import RegistryServer
from tests.browser.conftest import Console
from tests.browser.support import create_rule, register
from tests.browser.test_screens import SCHEMES, WIDTHS, look, picture, screen_of
from tests.fakes.registry import Answer, Received
from tests.replication.support import push, some_image
from tests.support import Relay

REPOSITORIES = 24


class SlowRelay(Relay):
    """Looks for manifests take a while, so that a check takes several steps."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.script("HEAD", "/v2/", self.hesitate)

    def hesitate(self, request: Received) -> Answer:
        self.release.wait(1)
        return self.forward(request)


@pytest.fixture
def slow(page: Page, console: Console, registry_binary) -> Iterator[str]:
    """A rule whose check takes some steps, and finds something in each."""
    image, other = some_image(), some_image()
    with RegistryServer(registry_binary) as source, RegistryServer(registry_binary) as target:
        for number in range(REPOSITORIES):
            for tag in ("v1", "v2", "v3", "v4"):
                push(source.url, f"prod/r{number:02}", tag, image)
                if tag != "v3":
                    push(target.url, f"prod/r{number:02}", tag, other if (number, tag) == (1, "v2") else image)
        push(target.url, "prod/retired", "v1", image)
        with SlowRelay(source.url) as relay:
            register(page, "slow-source", "mars", relay.url)
            register(page, "near-target", "venus", target.url)
            create_rule(page, "checked", source="slow-source", target="near-target (venus)")
            yield "/i/slow-source/rules/checked/"
            relay.release.set()


def test_a_check_goes_on_by_itself_stops_and_needs_no_script(
    page: Page, browser: Browser, console: Console, slow: str
) -> None:
    page.goto(slow)
    page.get_by_role("link", name="Check").click()
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Check now").click()
    status, rows = page.locator("#check-step .so-far"), page.locator("#findings tr")
    expect(status).to_contain_text("compared so far", timeout=30_000)
    first = rows.count()
    assert 0 < first < REPOSITORIES
    page.get_by_role("link", name="Stop").click()
    expect(page.get_by_role("link", name="Continue")).to_be_visible()
    expect(page.get_by_role("link", name="Continue")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("Check stopped.")
    stopped_at, so_far = rows.count(), status.inner_text()
    page.wait_for_timeout(1_500)
    assert (rows.count(), status.inner_text()) == (stopped_at, so_far), "nothing goes on"
    for width in WIDTHS:
        with screen_of(page, browser, console, width) as screen:
            look(screen, "check-begun", f"{slow}check/?run=1", width)
    page.get_by_role("link", name="Continue").click()
    expect(status).to_contain_text(
        f"Checked {REPOSITORIES} repositories, {4 * REPOSITORIES} tags: {3 * REPOSITORIES - 1} equal, "
        f"{REPOSITORIES} missing, 1 different, 1 extra.",
        timeout=60_000,
    )
    for width, scheme in product(WIDTHS, SCHEMES):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        picture(page, "check-ended", width, scheme)
    names = page.locator("#findings th .code").all_inner_texts()
    assert len(names) == len(set(names)) == REPOSITORIES + 2, "each is found once"
    assert page.evaluate("window.same"), "the page was not loaded again"
    expect(page.locator("#announcer")).to_contain_text("Check finished: Checked")
    expect(page.locator("#findings tr").last).to_contain_text("There, but not in the source")
    plain = browser.new_context(
        storage_state=page.context.storage_state(), base_url=console.url, java_script_enabled=False
    )
    with closing(plain):
        simple = plain.new_page()
        simple.goto(f"{slow}check/")
        simple.get_by_role("button", name="Check now").click()
        expect(simple.get_by_role("link", name="Stop")).to_be_hidden()
        for _ in range(20):
            if simple.get_by_role("link", name="Continue").count() == 0:
                break
            simple.get_by_role("link", name="Continue").click()
        expect(simple.locator("#check-step .so-far")).to_have_text(re.compile("Checked 24 repositories, 96 tags"))


def test_a_side_that_is_away_fits(page: Page, browser: Browser, console: Console) -> None:
    with Relay(console.registries["guangzhou"]) as gone:
        pass
    register(page, "gone-away", "mars", gone.url)
    create_rule(page, "checks-nothing", target="gone-away (mars)")
    for width in WIDTHS:
        with screen_of(page, browser, console, width) as screen:
            look(screen, "check-away", "/i/guangzhou/rules/checks-nothing/check/?run=1", width)
            expect(screen.get_by_text("cannot reach the registry")).to_be_visible()
