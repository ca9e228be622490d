"""What a form says when it is refused, where it says it, and that nothing that was typed is lost."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect
from redis import Redis

from sync.views.layout import WORKERS_SECONDS
from tests.browser.conftest import Console
from tests.browser.support import violations
from tests.support import wait_until

RULE = {
    "Name": ("", "Enter a name."),
    "Repositories (optional)": ("web/(", "missing"),
    "Tags (optional)": ("v[", "missing"),
    "Exclude repositories (optional)": ("*", "nothing to repeat"),
    "Exclude tags (optional)": ("(?=a)", "unknown kind of group"),
    "Target namespace (optional)": ("Prod", "lower-case"),
    "Deletions without asking, at most (percent) (optional)": ("101", "Enter a whole number from 0 to 100."),
    "Workers at once": ("0", "Enter a whole number from 1 to 64."),
    "Schedule (optional)": ("0 25 * * *", "the second field, the hour, takes 0 to 23"),
    "Time zone (optional)": ("Mars/Olympus", "“Mars/Olympus” is no time zone."),
    "Address (optional)": ("ftp://chat.example/hook", "Give the whole address, as https://host/path."),
    "Secret (optional)": ("too short", "at least 16 characters"),
}
# Of a rule that has no namespace, no target, and the name of another.
CHOICES = {
    "Name": "This instance has a rule of this name already.",
    "Source namespace": "Choose one namespace.",
    "Target instance": "Choose the instance to copy to.",
}
INSTANCE = {
    "Name": ("Prod", "lower-case letters"),
    "Region": ("", "Enter the region"),
    "Address": ("ftp://registry.example", "ftp"),
    "Proxy (optional)": ("http://user:pw@proxy:3128", "without credentials"),
    "CA certificate (optional)": ("nonsense", "Not a certificate"),
    "Connect timeout": ("0", "from 1 to 300"),
    "Read timeout": ("0", "from 1 to 3600"),
    "Megabytes per second at most (optional)": ("0.05", "Enter megabytes from 0.1 to 1000000"),
    "Look for news every … minutes (optional)": ("1441", "from 0 to 1440, or leave it blank"),
}


# The same fields with what is wrong in another way.
RULE_AGAIN = {
    "Schedule (optional)": ("0 3 *", "Not a schedule: a cron expression has five fields"),
    "Address (optional)": ("https://user:pw@chat.example/hook", "Leave out user name and password"),
    "Secret (optional)": ("", "Enter a secret: without it nobody could tell who sends."),
}


@pytest.mark.parametrize(
    ("url", "fields"),
    [("/i/guangzhou/new-rule/", RULE), ("/i/guangzhou/new-rule/", RULE_AGAIN), ("/instances/new/", INSTANCE)],
    ids=["rule", "rule-again", "instance"],
)
def test_each_message_stands_at_its_field(page: Page, url: str, fields: dict[str, tuple[str, str]]) -> None:
    page.goto(url)
    for details in page.locator("form.form details").all():
        details.evaluate("element => { element.open = true; }")
    for label, (typed, _) in fields.items():
        page.get_by_label(label, exact=True).fill(typed)
    summary = refused(page)
    for label, (typed, said) in fields.items():
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_value(typed)
        assert_said(page, field, said)
        summary.get_by_role("link", name=label.removesuffix(" (optional)")).first.click()
        expect(field).to_be_focused()
    assert violations(page) == []


def test_what_was_not_chosen_and_a_name_that_is_taken_are_told(page: Page) -> None:
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_label("Name", exact=True).fill("images-to-frankfurt")
    types = page.get_by_role("group", name="Type", exact=True)
    for box in types.get_by_role("checkbox").all():
        box.uncheck()
    summary = refused(page)
    for label, said in CHOICES.items():
        field = page.get_by_label(label, exact=True)
        assert_said(page, field, said)
        summary.get_by_role("link", name=label, exact=True).click()
        expect(field).to_be_focused()
    expect(page.get_by_label("Name", exact=True)).to_have_value("images-to-frankfurt")
    expect(types).to_contain_text("Choose at least one type of resource.")
    summary.get_by_role("link", name="Type").click()
    expect(types.get_by_role("checkbox").first).to_be_focused()
    assert violations(page) == []


def test_a_name_that_an_instance_has_already_is_told(page: Page) -> None:
    page.goto("/instances/new/")
    for label, text in (("Name", "guangzhou"), ("Region", "mars"), ("Address", "https://registry.example")):
        page.get_by_label(label, exact=True).fill(text)
    refused(page)
    assert_said(page, page.get_by_label("Name", exact=True), "There is an instance of this name already.")


def test_a_password_that_is_wrong_is_marked_until_it_is_right(page: Page) -> None:
    """What was typed in it is never sent back: the field outlives the form around it."""
    page.goto("/i/guangzhou/new-rule/")
    page.get_by_text("Tell others when a task ends").click()
    secret = page.get_by_label("Secret (optional)", exact=True)
    secret.fill("too short")
    refused(page)
    assert_said(page, secret, "at least 16 characters")
    secret.fill("long enough to sign with")
    refused(page)
    expect(secret).to_have_value("long enough to sign with")
    expect(secret).not_to_have_attribute("aria-invalid", "true")
    expect(secret).to_have_accessible_description(re.compile("^At least 16 characters.*sends\\.$"))


def test_that_no_worker_runs_is_said_until_one_does(page: Page, console: Console) -> None:
    page.goto("/i/guangzhou/rules/")
    said = page.get_by_text("No worker is running; tasks will wait.")

    def is_said() -> bool:
        page.wait_for_timeout(500)
        page.reload()
        return said.is_visible()

    # For some seconds the console knows the answer of the last time.
    with no_worker_known(console):
        wait_until(is_said, 2 * WORKERS_SECONDS, "the warning")
        assert violations(page) == []
    wait_until(lambda: not is_said(), 2 * WORKERS_SECONDS, "the end of the warning")


@contextmanager
def no_worker_known(console: Console) -> Iterator[None]:
    """The queue has forgotten who works for it, as if they were gone."""
    with Redis(unix_socket_path=str(console.data_dir / "valkey.sock")) as queue:
        workers = queue.smembers("rq:workers")
        assert workers
        queue.delete("rq:workers")
        try:
            yield
        finally:
            queue.sadd("rq:workers", *workers)


def refused(page: Page) -> Locator:
    """Presses OK; the summary of what is wrong, which has the focus."""
    page.get_by_role("button", name="OK").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_visible()
    expect(summary).to_be_focused()
    return summary


def assert_said(page: Page, field: Locator, said: str) -> None:
    expect(field).to_have_attribute("aria-invalid", "true")
    name = f"{field.get_attribute('id')}_error"
    expect(page.locator(f"#{name}")).to_be_visible()
    expect(page.locator(f"#{name}")).to_contain_text(said)
    assert name in (field.get_attribute("aria-describedby") or "")
