"""The list of rules in the order that somebody chose: it stands in the URL, and pages, polls and filters keep it."""

from urllib.parse import parse_qs, urlsplit

import pytest

from sync.models import Instance, SyncRule
from tests.pages.html import attributes, by_id, elements, words
from tests.pages.test_tasks import HTMX, live, make_task, page_links, rows_of

RULES = "/i/prod-gz/rules/"


@pytest.fixture
def rules(rule: SyncRule, source: Instance, target: Instance) -> None:
    """Run in the order own, web, own; api never. api is disabled, and nothing was pushed for it."""
    own, _ = (
        SyncRule.objects.create(name=name, source=source, source_namespace="a", target=target, enabled=enabled)
        for name, enabled in (("own", True), ("api", False))
    )
    for one in (own, rule, own):
        make_task(one)
    SyncRule.objects.filter(name="web").update(lag_median=7.5, lag_p95=9, lag_worst=60)
    SyncRule.objects.filter(name="own").update(lag_median=80.25, lag_p95=90, lag_worst=95)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["api", "own", "web"]),
        ("-name", ["web", "own", "api"]),
        ("run", ["api", "web", "own"]),
        ("-run", ["own", "web", "api"]),
        ("lag", ["web", "own", "api"]),
        ("-lag", ["own", "web", "api"]),
        ("status", ["api", "own", "web"]),
        ("-status", ["web", "own", "api"]),
        ("colour", ["api", "own", "web"]),
        ("--name", ["api", "own", "web"]),
    ],
)
def test_rules_are_sorted(console, rules, sort, expected):
    assert rows_of(console.get(RULES, {"sort": sort}).content.decode()) == expected


def heads(page: str) -> dict[str, str]:
    """aria-sort of the columns that sort, by their words."""
    marked = (one for one in elements(page, "th") if "sorts" in attributes(one).get("class", "").split())
    return {words(one): attributes(one).get("aria-sort", "") for one in marked}


def test_the_heads_tell_the_order_and_lead_to_the_other_ones(console, rules):
    page = console.get(RULES, {"q": "a", "after": "web"}).content.decode()
    assert heads(page) == {"Name": "ascending", "Last run": "", "Lag": "", "Status": ""}
    asked = {name: attributes(by_id(page, f"sort-{name}"))["href"] for name in ("name", "run", "lag", "status")}
    assert {name: parse_qs(urlsplit(url).query) for name, url in asked.items()} == {
        name: {"q": ["a"], "sort": [f"-{name}"]} for name in asked
    }, "filters are kept, the page is not; what is newest, slowest and enabled comes first"
    page = console.get(asked["lag"]).content.decode()
    assert heads(page) == {"Name": "", "Last run": "", "Lag": "descending", "Status": ""}
    assert attributes(by_id(page, "sort-lag"))["href"] == f"{RULES}?q=a&sort=lag"


def test_filters_and_polls_keep_the_order(console, rules):
    page = console.get(RULES, {"sort": "-lag"}).content.decode()
    kept = next(one for one in map(attributes, elements(page, "input")) if one.get("name") == "sort")
    assert kept["value"] == "-lag" and by_id(page, kept["form"]).name == "form"
    assert console.get(live(page, "rules")["hx-get"], headers=HTMX).status_code == 204
    SyncRule.objects.filter(name="web").update(description="changed")
    assert rows_of(console.get(live(page, "rules")["hx-get"], headers=HTMX).content.decode()) == ["own", "web", "api"]
    assert 'name="sort"' not in console.get(RULES).content.decode()


def test_the_order_is_told_to_who_chose_it(console, rules):
    part = console.get(RULES, {"sort": "-run"}, headers=HTMX).content.decode()
    assert words(by_id(part, "announcer")) == "3 rules, sorted by last run, descending"


@pytest.mark.parametrize("sort", ["name", "-name", "run", "-run", "lag", "-lag", "status", "-status"])
def test_pages_of_every_order_hold_each_rule_once_there_and_back(console, rules, source, target, sort):
    """Most are alike in what is sorted by: their names tell them apart."""
    same = {"source": source, "target": target, "source_namespace": "a"}
    for n in range(110):
        lag = n % 4 / 3 if n % 5 else None
        measured = {"lag_median": lag, "lag_p95": lag, "lag_worst": lag}
        SyncRule.objects.create(name=f"w{n:03}", enabled=n % 3 > 0, **measured, **same)
    for one in SyncRule.objects.order_by("-pk")[:20]:
        make_task(one)
    pages = [console.get(RULES, {"sort": sort}).content.decode()]
    while url := page_links(pages[-1]).get("next"):
        pages.append(console.get(url).content.decode())
    seen = [rows_of(page) for page in pages]
    assert [len(rows) for rows in seen] == [50, 50, 13]
    assert len({name for rows in seen for name in rows}) == 113
    back = console.get(page_links(pages[2])["prev"]).content.decode()
    assert rows_of(back) == seen[1]
    assert rows_of(console.get(page_links(back)["prev"]).content.decode()) == seen[0]


@pytest.mark.parametrize("after", ["nan,web", "inf,web", "x,web", "web", "True,web", "7.5", "%00,%00"])
@pytest.mark.parametrize("sort", ["lag", "run", "status"])
def test_a_place_that_is_none_in_this_order_is_no_fault(console, rules, sort, after):
    assert console.get(f"{RULES}?sort={sort}&after={after}").status_code == 200
