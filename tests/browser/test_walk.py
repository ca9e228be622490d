"""The main job in a browser: create a rule, press Sync, watch it succeed; then a failure, a stop, an outage."""

import re
import time
from pathlib import Path

from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Console
from tests.browser.support import create_rule, register, sync_and_open
from tests.fakes.registry import Answer, Received
from tests.support import Judge, Relay

MANIFESTS = "/v2/prod/web/nginx/manifests/"


def test_create_a_rule_sync_and_watch_it_succeed(page: Page, console: Console, skopeo: Path) -> None:
    create_rule(page, "by-hand", Target_namespace="by-hand")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="by-hand", exact=True))
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "true")
    row.get_by_role("button", name="Sync").click()
    row.get_by_role("link", name=re.compile(r"Task \d+")).click()
    # The page is not loaded again: it follows the task by itself.
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=60_000)
    expect(page.locator(".rate")).to_have_text("31 of 31 · 100 %")
    page.get_by_role("link", name="by-hand").click()
    expect(page.get_by_role("columnheader")).to_have_text(
        [
            "Task ID",
            "Create Time",
            "Trigger",
            "Time Spent",
            "Success Rate",
            "Number of synced repositories",
            "Synchronization Status",
        ]
    )
    source, target = (console.registries[name] for name in ("guangzhou", "frankfurt"))
    judge = Judge(skopeo)
    brought = judge.raw(target, "by-hand/web/nginx:latest")
    assert brought
    assert brought == judge.raw(source, "prod/web/nginx:latest")


def test_an_ended_task_is_not_polled(page: Page) -> None:
    create_rule(page, "quiet", Target_namespace="quiet", Repositories="web/nginx")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="quiet", exact=True))
    row.get_by_role("button", name="Sync").click()
    row.get_by_role("link", name=re.compile(r"Task \d+")).click()
    # A repository says Succeeded a moment before its task does; the page asks no more once the task has.
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=60_000)
    expect(page.locator("[data-live]")).to_have_count(0, timeout=60_000)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(6_000)
    assert requests == []


def test_a_failure_is_explained_and_retried_when_its_cause_is_mended(page: Page, console: Console) -> None:
    with Relay(console.registries["frankfurt"]) as target:
        target.script("POST", "/v2/", Answer(403))
        register(page, "closed", "mars", target.url)
        create_rule(
            page,
            "to-closed",
            target="closed (mars)",
            Target_namespace="to-closed",
            Repositories="web/nginx",
            Tags="latest",
        )
        sync_and_open(page, "to-closed")
        expect(page.locator(".state")).to_contain_text("Failed", timeout=60_000)
        expect(page.get_by_text("Target closed").first).to_be_visible()
        expect(page.locator("#log-tail")).to_have_text("End of the log.", timeout=10_000)
        expect(page.locator(".level-error")).to_contain_text("latest: Target closed")
        target.script("POST", "/v2/", target.forward)
        page.get_by_role("button", name="Retry failed (1)").click()
        expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
        expect(page.locator(".rate")).to_have_text("1 of 1 · 100 %")
        page.get_by_role("definition").filter(has_text="Retry of").get_by_role("link").click()
        expect(page.get_by_role("definition").filter(has_text="Succeeded")).to_be_visible()


def test_a_long_task_is_stopped_from_its_page_within_5_seconds(page: Page, console: Console) -> None:
    with Relay(console.registries["guangzhou"]) as source:
        source.script("GET", MANIFESTS, Answer(wait=True))
        register(page, "endless", "mars", source.url)
        create_rule(page, "long", source="endless", Target_namespace="long", Repositories="web/nginx")
        sync_and_open(page, "long")
        expect(page.locator(".line").last).to_contain_text("tags match", timeout=15_000)
        page.get_by_role("link", name="Stop").click()
        page.get_by_role("button", name="Stop task").click()
        began = time.monotonic()
        expect(page.locator(".state")).to_contain_text("Stopped", timeout=5_000)
        assert time.monotonic() - began < 5
        expect(page.locator("#log-tail")).to_have_text("End of the log.")


def test_a_log_grows_while_its_task_runs(page: Page, console: Console) -> None:
    with Relay(console.registries["guangzhou"]) as source:

        def held(request: Received) -> Answer:
            source.release.wait(60)
            return source.forward(request)

        source.script("GET", MANIFESTS, held)
        register(page, "slow", "mars", source.url)
        create_rule(page, "grows", source="slow", Target_namespace="grows", Repositories="web/nginx")
        sync_and_open(page, "grows")
        log = page.get_by_role("region", name=re.compile("Log of task"))
        expect(log).to_contain_text("tags match", timeout=15_000)
        expect(page.locator("#log-tail")).to_have_text("More lines appear here as the task runs.")
        page.evaluate("window.same = true")
        before = page.locator(".line").evaluate_all("lines => lines.map(line => line.id)")
        source.release.set()
        expect(log).to_contain_text("Ended: Succeeded.", timeout=60_000)
        expect(page.locator("#log-tail")).to_have_text("End of the log.")
        after = page.locator(".line").evaluate_all("lines => lines.map(line => line.id)")
        assert len(after) > len(before) and after[: len(before)] == before
        assert len(set(after)) == len(after), "no line twice"
        assert page.evaluate("window.same"), "the page was not loaded again"
        assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight < 8"), "its end stays in view"


def test_an_instance_that_is_away_is_waited_for(page: Page, console: Console) -> None:
    with Relay(console.registries["frankfurt"]) as gone:
        pass
    register(page, "nowhere", "mars", gone.url)
    create_rule(page, "to-nowhere", target="nowhere (mars)", Repositories="web/nginx", Tags="latest")
    sync_and_open(page, "to-nowhere")
    notice = page.locator("#wait")
    expect(notice).to_contain_text("Waiting for nowhere (mars).", timeout=30_000)
    expect(notice).to_contain_text("Check the address")
    expect(notice.get_by_role("term")).to_have_text(["Away since", "Next try", "Waits until"])
    expect(page.get_by_role("link", name="Stop")).to_be_visible()
    task_url = page.url
    page.goto("/instances/")
    expect(page.get_by_role("row").filter(has_text="nowhere")).to_contain_text("Away since")
    page.goto("/instances/nowhere/edit/")
    page.get_by_label("Address", exact=True).fill(console.registries["frankfurt"])
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#toasts").get_by_text("is saved")).to_be_visible()
    page.goto(task_url)
    # The sweep finds that it can go on; nobody presses anything.
    expect(page.locator(".state")).to_contain_text("Succeeded", timeout=60_000)
    expect(notice).to_have_count(0)


def test_a_refused_form_keeps_what_was_typed(page: Page) -> None:
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_label("Description").fill("图像同步")
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Not A Name")
    expect(page.get_by_label("Description")).to_have_value("图像同步")


def test_enter_in_a_field_saves_the_instance(page: Page, console: Console) -> None:
    """Test connection is a button of the form, too, and comes before OK."""
    page.goto("/instances/new/")
    page.get_by_label("Name", exact=True).fill("entered")
    page.get_by_label("Region", exact=True).fill("mars")
    page.get_by_label("Address", exact=True).fill(console.registries["guangzhou"])
    page.get_by_label("Address", exact=True).press("Enter")
    expect(page.locator("#toasts").get_by_text("is saved")).to_be_visible()


def test_what_was_typed_is_there_again_after_the_session_ended(page: Page, console: Console) -> None:
    """All but passwords, once, and whether it was sent or a preview asked for it."""
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.goto("/instances/new/")
    page.get_by_label("Name", exact=True).fill("tokyo")
    page.get_by_label("Address", exact=True).fill("https://registry.example")
    page.get_by_label("Password (optional)", exact=True).fill("never-kept")
    page.get_by_text("Plain HTTP, certificates, proxy, limits and workers").click()
    plain = page.get_by_label("Allow plain", exact=False)
    plain.check()
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="OK").click()
    page.wait_for_url("**/login/?next=**")
    assert "never-kept" not in page.evaluate("JSON.stringify(sessionStorage)")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(console.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/instances/new/")
    expect(page.get_by_label("Name", exact=True)).to_have_value("tokyo")
    expect(page.get_by_label("Address", exact=True)).to_have_value("https://registry.example")
    expect(page.get_by_label("Password (optional)", exact=True)).to_have_value("")
    expect(plain).to_be_checked()
    assert asked == [], "nothing is lost, so nothing is asked"
    assert "tokyo" not in page.evaluate("JSON.stringify(sessionStorage)"), "it is kept once"


def test_a_second_click_sends_nothing_again(page: Page) -> None:
    create_rule(page, "clicked-twice")
    page.goto("/i/guangzhou/rules/clicked-twice/delete/")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Delete rule").dblclick()
    page.wait_for_url("**/i/guangzhou/rules/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Instance Synchronization")
    assert len(sent) == 1


def test_the_switch_disables_in_place_and_delete_asks_first(page: Page) -> None:
    create_rule(page, "short-lived")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="short-lived", exact=True))
    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    row.get_by_role("link", name="Delete").or_(row.get_by_role("button", name="Delete")).click()
    page.get_by_role("button", name=re.compile("Delete")).last.click()
    expect(page.get_by_role("link", name="short-lived", exact=True)).to_have_count(0)
