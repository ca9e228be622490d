"""Pages that stay open cost the console little: nothing happens, and they ask once in 15 seconds."""

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from sync.views.http import IDLE_SECONDS
from tests.browser.conftest import Console
from tests.browser.support import create_rule, register


def test_an_idle_page_asks_once_in_15_seconds(page: Page, console: Console) -> None:
    # An instance of its own: tasks of other tests may run on at the others, and are looked at more often.
    register(page, "idle", "mars", console.registries["guangzhou"])
    create_rule(page, "idles", source="idle")
    page.goto("/i/idle/rules/idles/edit/")
    page.get_by_text("Tell others when a task ends").click()
    page.get_by_label("Address").fill("https://chat.example/hook")
    page.get_by_label("Secret").fill("long enough to sign with")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#toasts").get_by_text("is saved")).to_be_visible()

    # Two windows, so that the seconds pass once for both.
    rules, rule = page.context.new_page(), page.context.new_page()
    asked: list[str] = []
    for window, url in ((rules, "/i/idle/rules/"), (rule, "/i/idle/rules/idles/")):
        window.goto(url, wait_until="networkidle")
        window.on("request", lambda request: asked.append(urlsplit(request.url).path))
    expect(rule.get_by_text("Told to https://chat.example")).to_be_visible()
    page.wait_for_timeout((IDLE_SECONDS + 2) * 1000)
    assert sorted(asked) == ["/i/idle/rules/", "/i/idle/rules/idles/"]


def test_what_cannot_be_reached_is_tried_again_and_one_part_does_not_stop_another(page: Page) -> None:
    page.goto("/i/guangzhou/rules/")
    # A second part that looks again, as the page of a task has three.
    page.evaluate("""() => {
      const other = document.querySelector("[data-live]").cloneNode();
      other.id = "other";
      document.querySelector("main").append(other);
      htmx.process(other);
    }""")
    paused = page.locator("#paused")
    page.route("**/i/guangzhou/rules/?*", lambda route: route.abort())
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    for times in (2, 4):
        page.evaluate("document.body.dispatchEvent(new Event('tab:visible'))")
        while len(failed) < times:
            page.wait_for_timeout(50)
        expect(paused).to_be_hidden()
    page.evaluate("document.body.dispatchEvent(new Event('tab:visible'))")
    expect(paused).to_be_visible()
    page.unroute_all()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(paused).to_be_hidden()
