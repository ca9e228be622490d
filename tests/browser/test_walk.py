"""The main job in a browser: create a rule, press Sync, watch it succeed; then a failure, and a stop."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Console
from tests.support import Judge


def create_rule(page: Page, name: str, target: str = "frankfurt (eu-frankfurt)", **fields: str) -> None:
    page.goto("/i/guangzhou/rules/")
    page.get_by_role("link", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Instance Synchronization Rule")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Source namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label=target)
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=False).first.fill(text)
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


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
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=60_000)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(6_000)
    assert requests == []


def test_a_failure_is_explained_down_to_the_reason(page: Page) -> None:
    page.goto("/instances/new/")
    page.get_by_label("Name", exact=True).fill("nowhere")
    page.get_by_label("Region").fill("mars")
    page.get_by_label("Address").fill("http://127.0.0.1:9")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("Check the address").first).to_be_visible()
    page.get_by_role("button", name=re.compile("OK|Save|Register")).click()
    page.get_by_role("heading", name="Instances").wait_for()
    create_rule(page, "to-nowhere", target="nowhere (mars)", Repositories="web/nginx", Tags="latest")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="to-nowhere", exact=True))
    row.get_by_role("button", name="Sync").click()
    row.get_by_role("link", name=re.compile(r"Task \d+")).click()
    expect(page.get_by_text("Failed").first).to_be_visible(timeout=90_000)
    expect(page.get_by_text("Target nowhere").first).to_be_visible()
    expect(page.get_by_text("Check the address").first).to_be_visible()


def test_a_refused_form_keeps_what_was_typed(page: Page) -> None:
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_label("Description").fill("图像同步")
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Not A Name")
    expect(page.get_by_label("Description")).to_have_value("图像同步")


def test_the_switch_disables_in_place_and_delete_asks_first(page: Page) -> None:
    create_rule(page, "short-lived")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="short-lived", exact=True))
    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    row.get_by_role("link", name="Delete").or_(row.get_by_role("button", name="Delete")).click()
    page.get_by_role("button", name=re.compile("Delete")).last.click()
    expect(page.get_by_role("link", name="short-lived", exact=True)).to_have_count(0)
