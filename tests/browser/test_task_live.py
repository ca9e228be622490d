"""The page of a task while it runs: what the reader has open, chosen or in view stays as it is."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import create_rule, register, sync_and_open, violations
from tests.fakes.registry import Answer, Received
from tests.support import Relay

AT_END = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 8"


@pytest.fixture
def source(page: Page, console: Console, request: pytest.FixtureRequest) -> Iterator[Relay]:
    """A source, registered by the name of the test; what is to be late is scripted."""
    with Relay(console.registries["guangzhou"]) as relay:
        register(page, name_of(request.node.name), "mars", relay.url)
        yield relay


def name_of(test: str) -> str:
    return test.removeprefix("test_").replace("_", "-")[:40].strip("-")


def held(relay: Relay) -> None:
    """Manifests of one repository come only after `relay.release`."""

    def late(request: Received) -> Answer:
        relay.release.wait(60)
        return relay.forward(request)

    relay.script("GET", "/v2/prod/web/nginx/manifests/", late)


def test_polls_leave_alone_what_is_open_and_focused(page: Page, source: Relay) -> None:
    held(source)
    name = name_of("polls_leave_alone_what_is_open_and_focused")
    create_rule(page, "stays", source=name, Target_namespace="stays")
    sync_and_open(page, "stays")
    done = page.locator(".repositories tbody").filter(has_text="Succeeded").first
    expect(done).to_be_visible(timeout=30_000)
    repository = done.get_attribute("id")
    row = page.locator(f"#{repository}")
    row.locator("summary").click()
    expect(row.locator(".resources .status").first).to_have_text("Copied")
    row.locator("summary").focus()
    row.evaluate("row => { row.same = true; }")
    page.evaluate("scrollTo(0, 200)")
    source.release.set()
    expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
    expect(page.locator(".repositories tbody .status", has_text="Synchronizing")).to_have_count(0)
    expect(page.locator("#repositories[data-live]")).to_have_count(0)
    assert row.evaluate("row => row.same"), "the row was not exchanged"
    expect(row.locator("details")).to_have_attribute("open", "")
    expect(row.locator(".resources")).to_be_visible()
    expect(row.locator("summary")).to_be_focused()
    names = page.locator(".repositories > tbody > tr > th .code").all_inner_texts()
    assert len(names) == len(set(names)), "no row twice"


def test_a_row_that_changes_keeps_what_is_open_in_it(page: Page, source: Relay) -> None:
    held(source)
    name = name_of("a_row_that_changes_keeps_what_is_open_in_it")
    create_rule(page, "changes", source=name, Target_namespace="changes", Repositories="web/nginx")
    sync_and_open(page, "changes")
    row = page.locator(".repositories tbody").filter(has_text="nginx").first
    expect(row.locator("summary")).to_be_visible(timeout=30_000)
    row.locator("summary").click()
    row.locator("details").evaluate("details => { details.same = true; }")
    source.release.set()
    expect(row.locator("td .status").first).to_have_text("Succeeded", timeout=60_000)
    assert row.locator("details").first.evaluate("details => details.same && details.open")
    expect(row.locator(".resources tbody").first).to_contain_text("Copied", timeout=20_000)
    assert violations(page) == []


def test_the_digest_is_copied_whole_though_it_is_shown_short(page: Page) -> None:
    create_rule(page, "digests", Target_namespace="digests", Repositories="web/nginx", Tags="latest")
    sync_and_open(page, "digests")
    expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".repositories summary").click()
    digest = page.locator(".resources .digest")
    assert digest.evaluate("element => element.scrollWidth > element.clientWidth"), "shown short"
    page.get_by_role("button", name="Copy the digest of latest").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch("sha256:[0-9a-f]{64}", copied)
    assert copied == digest.text_content()


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name)


def test_the_log_follows_its_end_until_one_scrolls_away(page: Page, source: Relay) -> None:
    held(source)
    name = name_of("the_log_follows_its_end_until_one_scrolls_away")
    create_rule(page, "follows", source=name, Target_namespace="follows")
    page.set_viewport_size({"width": 700, "height": 500})
    sync_and_open(page, "follows")
    page.get_by_role("link", name="Open the log").click()
    log = page.get_by_role("region", name=re.compile("Log of task"))
    expect(page.locator(".line").nth(20)).to_be_attached(timeout=30_000)
    follow = switch(page, "Follow the log")
    expect(follow).to_have_attribute("aria-checked", "true")
    assert log.evaluate(AT_END)
    log.evaluate("log => { log.scrollTop = 10; }")
    expect(follow).to_have_attribute("aria-checked", "false")
    source.release.set()
    expect(page.locator("#log-tail")).to_have_text("End of the log.", timeout=60_000)
    assert log.evaluate("log => log.scrollTop") == 10, "who reads further up stays there"
    follow.click()
    expect(follow).to_have_attribute("aria-checked", "true")
    assert log.evaluate(AT_END)
    wrap = switch(page, "Wrap long lines")
    page.locator(".line .code").last.evaluate("message => { message.textContent = 'long '.repeat(100); }")
    assert log.evaluate("log => log.scrollWidth <= log.clientWidth")
    wrap.click()
    assert log.evaluate("log => log.scrollWidth > log.clientWidth"), "lines run on"
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    wrap.click()
    assert log.evaluate("log => log.scrollWidth <= log.clientWidth")
    first = page.locator(".line").first.get_attribute("id")
    page.locator(f"#{first} a").click()
    expect(page).to_have_url(re.compile(rf"\?line=\d+#{first}$"))
    expect(switch(page, "Follow the log")).to_have_attribute("aria-checked", "false")
    expect(page.locator(f"#{first}")).to_be_in_viewport()
    assert violations(page) == []


def test_lines_of_the_log_are_reached_one_by_one_and_are_no_stops_on_the_way(page: Page) -> None:
    create_rule(page, "reads-lines", Target_namespace="reads-lines", Repositories="web/nginx")
    sync_and_open(page, "reads-lines")
    page.get_by_role("link", name="Open the log").click()
    expect(page.locator("#log-tail")).to_have_text("End of the log.", timeout=60_000)
    page.get_by_role("region", name=re.compile("Log of task")).focus()
    page.keyboard.press("k")
    expect(page.locator(".line a").last).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(".line a").nth(-2)).to_be_focused()
    line = page.locator(".line a").nth(-2).bounding_box()
    assert line is not None and line["height"] >= 24
    page.keyboard.press("Tab")
    expect(page.locator(".log :focus")).to_have_count(0)


def test_lines_that_come_later_join_the_group_of_their_repository(page: Page, source: Relay) -> None:
    held(source)
    name = name_of("lines_that_come_later_join_the_group_of_their_repository")
    create_rule(page, "grouped", source=name, Target_namespace="grouped", Repositories="web/nginx")
    sync_and_open(page, "grouped")
    page.get_by_role("link", name="By repository").click()
    group = page.locator(".group", has_text="prod/web/nginx")
    expect(group).to_have_count(1, timeout=15_000)
    group.locator("summary").click()
    source.release.set()
    expect(page.locator("#log-tail")).to_have_text("End of the log.", timeout=60_000)
    expect(group).to_have_count(1)
    expect(group.locator("details")).to_have_attribute("open", "")
    lines = group.locator(".line").count()
    assert lines > 2
    expect(group.locator(".number")).to_have_text(str(lines))
    assert violations(page) == []
