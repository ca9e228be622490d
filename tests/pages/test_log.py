"""The log of a task: in its page, on a page of its own that grows while the task runs, and as a text."""

from datetime import timedelta

import pytest
from django.test.html import Element
from django.utils import timezone

from sync.models import LogLine, Status, SyncTask
from sync.services import tasklog
from sync.views.log import PAGE_LINES
from sync.views.tasks import SECTION_LINES
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, make_task, url_of


@pytest.fixture
def task(rule) -> SyncTask:
    return make_task(rule, "synchronizing", started_at=timezone.now())


def write(task: SyncTask, number: int, level: str = "info") -> None:
    LogLine.objects.bulk_create(LogLine(task=task, level=level, message=f"{level} {n}") for n in range(number))


def shown(html: str) -> list[str]:
    """The messages, from top to bottom."""
    lines = [item for item in elements(html, "li") if "line" in attributes(item).get("class", "").split()]
    return [words([part for part in line.children if isinstance(part, Element)][-1]) for line in lines]


def tail(html: str) -> dict[str, str]:
    return attributes(by_id(html, "log-tail"))


def test_lines_tell_time_level_repository_and_message_newest_last(console, task):
    tasklog.say(task, tasklog.INFO, "Started.")
    tasklog.say(task, tasklog.ERROR, "1.0: the target refused it.", "prod/web")
    for url in (url_of(task), f"{url_of(task)}log/"):
        page = console.get(url).content.decode()
        assert shown(page) == ["Started.", "1.0: the target refused it."]
        line = by_id(page, f"L{LogLine.objects.latest('pk').pk}")
        assert words(line).endswith("Error prod/web 1.0: the target refused it.")
        assert [attributes(use)["href"] for use in elements(str(line), "use")] == ["/static/icons.svg#error"]
        assert list(elements(str(line), "time"))


def test_texts_from_registries_are_escaped(console, task):
    tasklog.say(task, tasklog.ERROR, "<script>alert('x')</script>", "<b>prod</b>")
    for url in (url_of(task), f"{url_of(task)}log/", f"{url_of(task)}log/?after=0"):
        page = console.get(url, headers=HTMX if "after" in url else {}).content.decode()
        assert "<script>alert" not in page and "<b>prod" not in page
        assert "&lt;script&gt;alert" in page


def test_while_the_task_runs_new_lines_are_appended_and_nothing_else(console, task):
    write(task, 2)
    for url in (url_of(task), f"{url_of(task)}log/"):
        poll = tail(console.get(url).content.decode())
        assert poll["hx-trigger"].startswith("every 2s") and poll["hx-swap"] == "outerHTML"
        assert console.get(poll["hx-get"], headers=HTMX).status_code == 204
    tasklog.say(task, tasklog.WARNING, "Something new.")
    answer = console.get(poll["hx-get"], headers=HTMX)
    part = answer.content.decode()
    assert shown(part) == ["Something new."] and not texts(part, "h1")
    assert "HX-Request" in answer.headers["Vary"]
    assert console.get(tail(part)["hx-get"], headers=HTMX).status_code == 204
    assert texts(console.get(poll["hx-get"]).content.decode(), "h1"), "without htmx the same URL is the page"


def test_the_poll_of_the_task_does_not_render_the_log_again(console, task):
    write(task, 2)
    poll = attributes(by_id(console.get(url_of(task)).content.decode(), "progress"))["hx-get"]
    SyncTask.objects.update(copied=1, planned=2)
    assert shown(console.get(poll, headers=HTMX).content.decode()) == []


def test_the_poll_becomes_rarer_and_ends_with_the_task(console, task):
    write(task, 1)
    poll = tail(console.get(url_of(task)).content.decode())
    SyncTask.objects.update(started_at=timezone.now() - timedelta(hours=1))
    rarer = tail(console.get(poll["hx-get"], headers=HTMX).content.decode())
    assert rarer["hx-trigger"].startswith("every 15s")
    task.close(Status.SUCCEEDED)
    ended = by_id(console.get(rarer["hx-get"], headers=HTMX).content.decode(), "log-tail")
    assert "hx-get" not in attributes(ended) and words(ended) == "End of the log."
    assert "hx-get" not in tail(console.get(url_of(task)).content.decode())


def test_more_lines_than_fit_into_one_answer_are_fetched_to_the_last_one_though_the_task_has_ended(console, task):
    poll = tail(console.get(url_of(task)).content.decode())
    write(task, PAGE_LINES + 3)
    task.close(Status.SUCCEEDED)
    first = console.get(poll["hx-get"], headers=HTMX).content.decode()
    assert len(shown(first)) == PAGE_LINES and tail(first)["hx-trigger"].startswith("every 1s")
    rest = console.get(tail(first)["hx-get"], headers=HTMX).content.decode()
    assert shown(rest) == [f"info {PAGE_LINES + n}" for n in range(3)] and "hx-get" not in tail(rest)


def test_the_filter_is_in_the_url_and_kept_by_the_poll(console, task):
    for level in ("info", "warning", "error"):
        write(task, 1, level)
    for url in (url_of(task), f"{url_of(task)}log/"):
        links = {words(link): attributes(link) for link in elements(console.get(url).content.decode(), "a")}
        assert links["All lines"]["aria-current"] == "true"
        page = console.get(links["Warnings and errors"]["href"].partition("#")[0]).content.decode()
        assert shown(page) == ["warning 0", "error 0"]
        assert {words(link) for link in elements(page, "a") if "aria-current" in attributes(link)} >= {
            "Warnings and errors"
        }
    write(task, 1)
    assert console.get(tail(page)["hx-get"], headers=HTMX).status_code == 204
    write(task, 1, "error")
    assert shown(console.get(tail(page)["hx-get"], headers=HTMX).content.decode()) == ["error 0"]


def test_the_newest_lines_first_and_a_link_to_older_ones(console, task):
    write(task, PAGE_LINES + SECTION_LINES + 50)
    everything = [f"info {n}" for n in range(PAGE_LINES + SECTION_LINES + 50)]
    page = console.get(url_of(task)).content.decode()
    assert shown(page) == everything[-SECTION_LINES:]
    seen = shown(page)
    while older := [attributes(link)["href"] for link in elements(page, "a") if words(link) == "Older lines"]:
        page = console.get(older[0]).content.decode()
        assert 'id="log-tail"' not in page and "Newest lines" in texts(page, "a")
        seen = shown(page) + seen
    assert seen == everything
    assert shown(console.get(f"{url_of(task)}log/").content.decode()) == everything[-PAGE_LINES:]


def test_the_time_of_a_line_is_a_link_that_finds_it_among_those_around_it(console, task):
    write(task, 3 * PAGE_LINES, "error")
    keys = list(LogLine.objects.values_list("pk", flat=True))
    wanted = keys[PAGE_LINES]
    query = f"level=problems&group=repository&before={keys[PAGE_LINES + 9]}"
    page = console.get(f"{url_of(task)}log/?{query}").content.decode()
    link = attributes(next(elements(str(by_id(page, f"L{wanted}")), "a")))
    assert link["href"] == f"{url_of(task)}log/?line={wanted}#L{wanted}", "with what stands around it"
    assert link["tabindex"] == "-1", "hundreds of lines are no stops on the way by Tab"
    page = console.get(link["href"].partition("#")[0]).content.decode()
    assert shown(page) == [f"error {n}" for n in range(PAGE_LINES // 2, PAGE_LINES // 2 + PAGE_LINES)]
    assert by_id(page, f"L{wanted}") and 'id="log-tail"' not in page
    links = {words(one): attributes(one)["href"] for one in elements(page, "a")}
    for name in ("Newest lines", "All lines", "Warnings and errors"):
        assert "line=" not in links[name], "who chooses something else is done with that line"
    assert shown(console.get(links["Older lines"]).content.decode())[-1] == f"error {PAGE_LINES // 2 - 1}"


def test_a_link_to_one_of_the_newest_lines_shows_the_log_as_it_grows(console, task):
    write(task, 3)
    line = LogLine.objects.latest("pk").pk
    page = console.get(f"{url_of(task)}log/?line={line}").content.decode()
    assert len(shown(page)) == 3 and "hx-get" in tail(page)


@pytest.mark.parametrize(
    ("status", "query", "said"),
    [
        ("synchronizing", "", "No lines yet. They appear here as the task runs."),
        ("synchronizing", "?level=problems", "No warnings or errors so far."),
        ("succeeded", "", "This task left no log."),
        ("succeeded", "?level=problems", "No warnings or errors."),
    ],
)
def test_an_empty_log_says_so(console, rule, status, query, said):
    task = make_task(rule, status, started_at=timezone.now())
    page = console.get(f"{url_of(task)}log/{query}").content.decode()
    assert words(by_id(page, "log-tail")) == said


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", "after=", "after=٣", f"before={'9' * 40}", "level=x", "line=x"]
)
def test_numbers_that_are_none_are_ignored(console, task, query):
    write(task, 1)
    for headers in ({}, HTMX):
        page = console.get(f"{url_of(task)}log/?{query}", headers=headers).content.decode()
        assert shown(page) == ["info 0"]


def test_the_whole_log_as_text(console, task):
    write(task, 1200)
    tasklog.say(task, tasklog.ERROR, "1.0: refused\nand <b>forged</b>", "prod/web")
    links = {
        words(link): attributes(link)["href"] for link in elements(console.get(url_of(task)).content.decode(), "a")
    }
    answer = console.get(links["Download as text"])
    assert answer.streaming and answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="task-{task.pk}-log.txt"'
    lines = answer.getvalue().decode().splitlines()
    assert len(lines) == 1201
    assert lines[0].endswith(" INFO    info 0") and lines[0][:4].isdigit()
    assert lines[-1].endswith(" ERROR   prod/web: 1.0: refused and <b>forged</b>")


def test_by_repository_lines_stand_in_groups_and_those_with_problems_are_open(console, task):
    tasklog.say(task, tasklog.INFO, "Started.")
    for message in ("1.0: copied.", "2.0: copied."):
        tasklog.say(task, tasklog.INFO, message, "prod/web")
    tasklog.say(task, tasklog.ERROR, "3.0: refused.", "prod/api")
    for url in (url_of(task), f"{url_of(task)}log/"):
        links = {words(link): attributes(link) for link in elements(console.get(url).content.decode(), "a")}
        assert links["By time"]["aria-current"] == "true"
        page = console.get(links["By repository"]["href"].partition("#")[0]).content.decode()
        groups = [item for item in elements(page, "li") if "data-group" in attributes(item)]
        assert [words(next(elements(str(group), "summary"))) for group in groups] == [
            "The task itself 1",
            "prod/api 1",
            "prod/web 2",
        ]
        details = [attributes(next(elements(str(group), "details"))) for group in groups]
        assert ["open" in one for one in details] == [False, True, False]
    tasklog.say(task, tasklog.INFO, "4.0: copied.", "prod/web")
    part = console.get(tail(page)["hx-get"], headers=HTMX).content.decode()
    assert texts(part, "summary") == ["prod/web 1"] and shown(part) == ["4.0: copied."]
    assert {words(link) for link in elements(page, "a") if "aria-current" in attributes(link)} >= {"By repository"}


def test_following_and_wrapping_can_be_switched_off(console, task):
    for query, names in (("", ["Follow the log", "Wrap long lines"]), ("?group=repository", ["Wrap long lines"])):
        page = console.get(f"{url_of(task)}log/{query}").content.decode()
        switches = [attributes(button) for button in elements(page, "button") if "data-log" in attributes(button)]
        assert [switch["aria-label"] for switch in switches] == names
        assert {(switch["role"], switch["aria-checked"]) for switch in switches} == {("switch", "true")}
