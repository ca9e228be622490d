"""Filters and pages of lists: they stand in the URL, polls keep them, and rows that come meanwhile disturb nothing."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from sync.models import Instance, SyncRule, SyncTask, TaskRepository
from sync.views.paging import COUNTED_ROWS, told
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, LOGS, live, make_repository, make_task, page_links, rows_of, url_of

RULES = "/i/prod-gz/rules/"


@pytest.fixture
def rules(rule: SyncRule, source: Instance, target: Instance) -> dict[str, SyncRule]:
    """web (failing), api (disabled), own (to its own instance, failed once and well again)."""
    made = {
        "web": rule,
        "api": SyncRule.objects.create(
            name="api", description="Backend", source=source, source_namespace="prod", target=target, enabled=False
        ),
        "own": SyncRule.objects.create(
            name="own", source=source, source_namespace="stage", target=source, target_namespace="copy"
        ),
    }
    for name, status in (("web", "succeeded"), ("own", "failed"), ("own", "succeeded"), ("web", "partial")):
        make_task(made[name], status)
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["api", "own", "web"]),
        ({"q": "AP"}, ["api"]),
        ({"q": "backend"}, ["api"]),
        ({"q": "stage"}, ["own"]),
        ({"state": "enabled"}, ["own", "web"]),
        ({"state": "disabled"}, ["api"]),
        ({"state": "failing"}, ["web"]),
        ({"target": "prod-eu"}, ["api", "web"]),
        ({"target": "prod-gz"}, ["own"]),
        ({"target": "prod-eu", "state": "enabled", "q": "w"}, ["web"]),
        ({"target": "nowhere", "state": "purple", "q": "\0"}, ["api", "own", "web"]),
    ],
)
def test_rules_are_filtered(console, rules, query, expected):
    assert rows_of(console.get(RULES, query).content.decode()) == expected


def test_filters_are_shown_as_the_url_has_them_and_kept_by_polls_and_pages(console, rules):
    SyncRule.objects.bulk_create(
        SyncRule(name=f"more-{n:02}", source=rules["web"].source, source_namespace="x", target=rules["web"].target)
        for n in range(60)
    )
    page = console.get(RULES, {"q": "more", "target": "prod-eu"}).content.decode()
    assert live(page, "filter-q")["value"] == "more"
    chosen = [attributes(option)["value"] for option in elements(page, "option") if "selected" in attributes(option)]
    assert "prod-eu" in chosen
    for url in (live(page, "rules")["hx-get"], page_links(page)["next"]):
        query = parse_qs(urlsplit(url).query)
        assert (query["q"], query["target"]) == (["more"], ["prod-eu"])
    assert console.get(live(page, "rules")["hx-get"], headers=HTMX).status_code == 204
    assert len(rows_of(console.get(page_links(page)["next"]).content.decode())) == 10


def test_a_filter_tells_how_many_rows_there_are_and_a_poll_does_not(console, rules):
    part = console.get(RULES, {"state": "enabled"}, headers=HTMX).content.decode()
    assert words(by_id(part, "announcer")) == "2 rules"
    SyncRule.objects.update(description="changed")
    poll = console.get(live(part, "rules")["hx-get"], headers=HTMX)
    assert poll.status_code == 200 and 'id="announcer"' not in poll.content.decode()
    assert console.get(RULES).content.decode().count('id="announcer"') == 1


def test_when_nothing_matches_the_filters_can_be_cleared(console, rules):
    page = console.get(RULES, {"q": "nothing like it"}).content.decode()
    assert "No rule of this instance matches these filters." in texts(page, "p")
    assert RULES in [attributes(link)["href"] for link in elements(page, "a") if words(link) == "Clear filters"]
    assert "Create" in texts(page, "a") and live(page, "filter-q"), "one may still create and search"


def test_rules_that_come_and_go_meanwhile_do_not_move_the_next_page(console, source, target):
    def make(name: str) -> SyncRule:
        return SyncRule(name=name, source=source, source_namespace="a", target=target)

    SyncRule.objects.bulk_create(make(f"m{number:03}") for number in range(70))
    first = console.get(RULES).content.decode()
    SyncRule.objects.bulk_create(make(f"a{number}") for number in range(5))
    SyncRule.objects.filter(name__in=("m049", "m000")).delete()
    second = console.get(page_links(first)["next"]).content.decode()
    assert rows_of(second) == [f"m{number:03}" for number in range(50, 70)]
    back = rows_of(console.get(page_links(second)["prev"]).content.decode())
    assert back[-1] == "m048" and len(back) == 50


@pytest.mark.parametrize("query", ["after=zzz", "before=a", "after=", "before=%00", "page=9"])
def test_beyond_the_ends_is_the_first_page(console, rules, query):
    assert rows_of(console.get(f"{RULES}?{query}").content.decode()) == ["api", "own", "web"]


@pytest.mark.parametrize("query", ["after=x", "before=-1", "after=1,2", "before=99999999999999999999"])
def test_a_place_that_is_no_number_is_none(console, rule, query):
    task = make_task(rule)
    assert rows_of(console.get(f"{LOGS}?{query}").content.decode()) == [str(task.pk)]


def test_counts_end_at_a_bound():
    assert told(1, "rule", "rules") == "1 rule" and told(0, "rule", "rules") == "0 rules"
    assert told(COUNTED_ROWS + 1, "rule", "rules") == "More than 1,000 rules"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "failed"}, [1]),
        ({"trigger": "command"}, [2]),
        ({"status": "succeeded", "trigger": "manual"}, [0]),
        ({"period": "1"}, [3, 2]),
        ({"period": "7"}, [3, 2, 1]),
        ({"status": "nonsense", "period": "x"}, [3, 2, 1, 0]),
    ],
)
def test_triggerings_are_filtered(console, rule, query, expected):
    now = timezone.now()
    tasks = [
        make_task(rule, "succeeded", created_at=now - timedelta(days=20)),
        make_task(rule, "failed", created_at=now - timedelta(days=3)),
        make_task(rule, "succeeded", trigger="command", created_at=now),
        make_task(rule, "stopped", trigger="push", created_at=now),
    ]
    assert rows_of(console.get(LOGS, query).content.decode()) == [str(tasks[number].pk) for number in expected]


def test_no_triggering_that_matches_is_not_the_same_as_none_yet(console, rule):
    make_task(rule)
    page = console.get(LOGS, {"status": "failed"}).content.decode()
    assert "No triggering of this rule matches these filters." in texts(page, "p")
    assert not any("Not triggered yet" in text for text in texts(page, "p"))


def test_new_triggerings_come_on_top_of_the_first_page_and_are_told_on_others(console, rule):
    SyncTask.objects.bulk_create(SyncTask(rule=rule, source=rule.source, snapshot={}) for _ in range(1))
    for _ in range(59):
        make_task(rule)
    first = console.get(LOGS).content.decode()
    older = console.get(page_links(first)["next"]).content.decode()
    newest = make_task(rule, "failed")
    part = console.get(live(first, "logs")["hx-get"], headers=HTMX).content.decode()
    assert rows_of(part)[0] == str(newest.pk)
    new = [row for row in elements(part, "tr") if "new" in attributes(row).get("class", "").split()]
    assert [words(row).split()[0] for row in new] == [str(newest.pk)]
    part = console.get(live(older, "logs")["hx-get"], headers=HTMX).content.decode()
    assert rows_of(part) == rows_of(older)
    assert "1 new triggering" in texts(part, "span")


def test_the_switch_in_the_logs_refreshes_the_facts_of_the_rule_alone(console, rule):
    page = console.get(LOGS).content.decode()
    strip = live(page, "strip")
    SyncRule.objects.update(enabled=False)
    part = console.get(strip["hx-get"], headers={**HTMX, "HX-Target": "strip"}).content.decode()
    assert live(part, f"switch-{rule.pk}")["aria-checked"] == "false" and not texts(part, "table")


@pytest.fixture
def task(rule: SyncRule) -> SyncTask:
    task = make_task(
        rule, "partial", planned=9, copied=3, unchanged=2, conflict=1, failed=1, all_planned=True, repository_count=4
    )
    make_repository(task, "prod/web", planned=3, copied=3, listed=True)
    make_repository(task, "prod/api", planned=2, unchanged=2, listed=True)
    make_repository(task, "prod/db", "stopped", planned=3, conflict=1, listed=True)
    make_repository(task, "prod/webhook", "failed", planned=1, failed=1, listed=True)
    return task


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"show": "copied"}, ["prod/web"]),
        ({"show": "unchanged"}, ["prod/api"]),
        ({"show": "conflict"}, ["prod/db"]),
        ({"show": "failed"}, ["prod/webhook"]),
        ({"show": "waiting"}, ["prod/db"]),
        ({"q": "web"}, ["prod/webhook", "prod/web"]),
        ({"q": "web", "show": "copied"}, ["prod/web"]),
        ({"q": "web", "show": "anything"}, ["prod/webhook", "prod/web"]),
    ],
)
def test_repositories_are_filtered(console, task, query, expected):
    assert rows_of(console.get(url_of(task), query).content.decode()) == expected


def test_counters_lead_to_what_they_count_and_back(console, task):
    def counters(page: str) -> dict[str, str]:
        return {
            words(link): attributes(link)["href"] for link in elements(page, "a") if "#rep" in attributes(link)["href"]
        }

    found = counters(console.get(url_of(task)).content.decode())
    assert list(found) == ["Copied 3", "Unchanged 2", "Conflicts 1", "Failed 1", "Not done 2"]
    shown = console.get(found["Failed 1"]).content.decode()
    assert rows_of(shown) == ["prod/webhook"]
    assert rows_of(console.get(counters(shown)["Failed 1"]).content.decode()) != ["prod/webhook"]


def test_a_name_that_no_repository_has(console, task):
    page = console.get(url_of(task), {"q": "nginx", "show": "failed"}).content.decode()
    assert "There is no repository with “nginx” in its name with failures." in texts(page, "p")


def test_the_two_live_parts_of_a_task_are_asked_for_apart(console, rule):
    task = make_task(rule, "synchronizing", started_at=timezone.now())
    TaskRepository.objects.bulk_create(
        TaskRepository(task=task, name=name, target_name=name) for name in ("prod/web", "prod/api")
    )
    page = console.get(url_of(task), {"q": "web"}).content.decode()
    for name, holds, lacks in (
        ("progress", "task-progress", "prod/web"),
        ("repositories", "prod/web", "task-progress"),
    ):
        url = live(page, name)["hx-get"]
        headers = {**HTMX, "HX-Target": name}
        assert console.get(url, headers=headers).status_code == 204
        part = console.get(url.replace("seen=", "seen=0").replace("rows=", "rows=0"), headers=headers).content.decode()
        assert holds in part and lacks not in part and "prod/api" not in part
    part = console.get(url_of(task), {"q": "api"}, headers={**HTMX, "HX-Target": "repository-list"}).content.decode()
    assert rows_of(part) == ["prod/api"] and words(by_id(part, "announcer")) == "1 repository"


def test_the_switcher_tells_what_is_wrong_and_can_be_filtered_when_long(console, rules):
    page = console.get(RULES).content.decode()
    options = [words(item) for item in elements(page, "li") if "prod-gz" in words(item)]
    assert options == ["prod-gz (ap-guangzhou) 127.0.0.1:1 Not checked 1 failing rule"]
    assert "filter-instances" not in page
    Instance.objects.bulk_create(Instance(name=f"more-{n}", region="mars", url="http://127.0.0.1:1") for n in range(9))
    assert attributes(by_id(console.get(RULES).content.decode(), "filter-instances"))["type"] == "search"
