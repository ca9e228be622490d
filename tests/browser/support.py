"""What walks through the console do again and again."""

import re

from playwright.sync_api import Page, expect


def register(page: Page, name: str, region: str, url: str) -> None:
    page.goto("/instances/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Region").fill(region)
    page.get_by_label("Address").fill(url)
    page.get_by_role("button", name="OK").click()
    page.get_by_role("heading", name="Instances").wait_for()


def create_rule(
    page: Page, name: str, target: str = "frankfurt (eu-frankfurt)", source: str = "guangzhou", **fields: str
) -> None:
    page.goto(f"/i/{source}/rules/")
    page.get_by_role("link", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Instance Synchronization Rule")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Source namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label=target)
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=False).first.fill(text)
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def sync_and_open(page: Page, rule: str) -> None:
    """From the list of rules to the page of the task that Sync starts."""
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=rule, exact=True))
    row.get_by_role("button", name="Sync").click()
    row.get_by_role("link", name=re.compile(r"Task \d+")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(rf"Task \d+ of {rule}"))
