"""What stands around every page: how many rules are failing, and messages of what was done."""

from collections import Counter
from typing import Any

import pytest
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import make_task

RULES = "/i/prod-gz/rules/"
POLL = {"HX-Request": "true", "HX-Target": "rules"}


def poll(console, page: str):
    live = next(attributes(part) for part in elements(page, "div") if "data-live" in attributes(part))
    return console.get(live["hx-get"], headers=POLL)


@pytest.mark.parametrize("path", ["/login/", "/nowhere/", "/healthz", "/favicon.ico"])
def test_an_answer_to_head_is_that_to_get_without_the_body(path, client, db):
    """As servers see it, not the test client, which leaves bodies away itself."""

    def answer(method: str) -> tuple[str, str | None, bytes]:
        began: list[Any] = []
        request = RequestFactory().generic(method, path)
        application: Any = get_wsgi_application()
        body = b"".join(application(request.environ, lambda *started: began.extend(started)))
        return began[0], dict(began[1]).get("Content-Length"), body

    status, length, body = answer("GET")
    assert length == str(len(body))
    assert answer("HEAD") == (status, length, b"")


def test_failing_rules_are_counted_beside_them_in_the_navigation(console, rule):
    assert words(by_id(console.get(RULES).content.decode(), "nav-counts")) == ""
    make_task(rule, "failed", planned=1, failed=1)
    cache.clear()
    page = console.get("/instances/").content.decode()
    assert words(by_id(page, "nav-counts")) == "1 failing rule"
    counted = [part for part in elements(page, "span") if attributes(part).get("class") == "nav-counts"]
    assert [words(part) for part in counted] == ["1 failing rule"] * 2, "in the menu of narrow screens, too"
    assert words(by_id(console.get("/i/prod-eu/rules/").content.decode(), "nav-counts")) == ""


def test_polls_bring_the_count_up_to_date_even_when_the_list_stays_as_it_is(console, rule):
    page = console.get(RULES).content.decode()
    assert poll(console, page).status_code == 204
    cache.set("failing_rules", Counter({rule.source_id: 2}))
    answer = poll(console, page).content.decode()
    counts = by_id(answer, "nav-counts")
    assert words(counts) == "2 failing rules"
    assert attributes(counts)["hx-swap-oob"] == "innerHTML:.nav-counts"


def test_the_count_costs_a_poll_one_query_and_within_some_seconds_none(console, rule):
    make_task(rule, "failed", planned=1, failed=1)
    page = console.get(RULES).content.decode()
    counts = []
    for cached in (False, True):
        if not cached:
            cache.delete("failing_rules")
        with CaptureQueriesContext(connection) as queries:
            assert poll(console, page).status_code == 204
        counts.append(len(queries))
    assert counts[0] == counts[1] + 1


def test_the_header_asks_where_an_image_is_in_words_that_the_list_of_keys_has_too(console, rule):
    page = console.get(RULES).content.decode()
    find = attributes(by_id(page, "find"))
    assert find["placeholder"] == "Where is an image or chart?"
    assert next(label for label in texts(page, "label") if label.startswith("Where is")).startswith(find["placeholder"])
    assert find["placeholder"] in texts(console.get("/preferences/").content.decode(), "dd")


def test_a_message_can_be_closed_and_is_told_aloud_once(console, rule):
    page = console.post("/i/prod-gz/rules/web/switch/", {"enabled": "false"}, follow=True).content.decode()
    toasts = by_id(page, "toasts")
    assert "role" not in attributes(toasts), "the announcer tells it"
    assert [attributes(button)["aria-label"] for button in elements(str(toasts), "button")] == ["Close this message"]


def instances_of_switcher(page):
    return [attributes(link)["href"] for link in elements(str(by_id(page, "choices")), "a")]


def test_another_instance_shows_its_rules_narrowed_and_sorted_as_these_are(console, rule):
    narrowed = f"{RULES}?state=failing&q=a+b%26c&sort=-lag&target=prod-eu&after=x&seen=y&other=z"
    kept = "?q=a+b%26c&state=failing&sort=-lag"
    page = console.get(narrowed).content.decode()
    assert instances_of_switcher(page) == [f"/i/prod-eu/rules/{kept}", f"{RULES}{kept}"]
    assert instances_of_switcher(console.get(RULES).content.decode()) == ["/i/prod-eu/rules/", RULES]
    page = console.get(f"/i/prod-gz/rules/web/?{narrowed.partition('?')[2]}").content.decode()
    assert instances_of_switcher(page) == ["/i/prod-eu/rules/", RULES], "only lists of rules are narrowed so"


def test_the_switcher_follows_what_is_typed_into_the_filter_and_polls_leave_it_alone(console, rule):
    asked = {"HX-Request": "true", "HX-Target": "rule-list"}
    page = console.get(f"{RULES}?state=enabled&q=", headers=asked).content.decode()
    assert instances_of_switcher(page) == ["/i/prod-eu/rules/?state=enabled", f"{RULES}?state=enabled"]
    assert attributes(by_id(page, "choices"))["hx-swap-oob"] == "true"
    assert 'id="choices"' not in console.get(f"{RULES}?state=enabled", headers=POLL).content.decode()
