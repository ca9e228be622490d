"""The page of a task that has ended badly or was stopped: where to mend it, who stopped it, what can be done next."""

import pytest

from sync.models import SyncTask
from sync.services import failures
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import make_repository, make_task, url_of


def page_of(console, task: SyncTask) -> str:
    return str(console.get(url_of(task)).content.decode())


def failed_at(rule, *sides: str) -> SyncTask:
    task = make_task(rule, "partial", planned=9, failed=len(sides), repository_count=1)
    repository = make_repository(task, "prod/web", "partial", planned=9, failed=len(sides), listed=True)
    for number, side in enumerate(sides):
        repository.resources.create(tag=f"v{number}", outcome="failed", side=side, reason="Refused.")
    return task


def failed_alike(rule, tags: int, *repositories: str) -> SyncTask:
    """For one cause, in words that differ by the names alone; and one of the last repository for another."""
    number = tags * len(repositories) + 1
    told = {"planned": number, "failed": number, "all_planned": True, "repository_count": len(repositories)}
    task = make_task(rule, "failed", **told)
    for name in repositories:
        row = make_repository(task, name, "failed", planned=tags, failed=tags, listed=True)
        for tag in range(tags):
            doing = f"Target prod-eu: cannot push manifest {name}:v{tag}"
            why = {"side": "target", "http_status": 403, "code": "DENIED", "hint": "Give the account the right."}
            row.resources.create(tag=f"v{tag}", outcome="failed", reason=f"{doing}: refused v{tag}", **why)
    row.resources.create(tag="w", outcome="failed", side="source", reason="Source prod-gz: cannot read w: it is gone")
    return task


def test_what_failed_for_one_cause_is_one_line_of_the_task(console, rule):
    page = page_of(console, failed_alike(rule, 12, "prod/web", "prod/api"))
    assert words(by_id(page, "progress-label")).startswith("25 of 25 resources tried, 25 failed")
    causes = [words(one) for one in elements(by_id_whole(page), "li")]
    assert causes == [
        "24 tags in 2 repositories : Target: refused …. Give the account the right.",
        "1 tag : Source: it is gone.",
    ]


def by_id_whole(page: str) -> str:
    return page[page.index('id="causes"') : page.index("</ul>", page.index('id="causes"'))]


def test_what_failed_for_one_cause_is_one_row_of_its_repository_to_be_opened(console, rule):
    task = failed_alike(rule, 12, "prod/web")
    page = console.get(f"{url_of(task)}repositories/{task.repositories.get().pk}/").content.decode()
    heads = [words(head) for head in elements(page, "th") if attributes(head)["scope"] == "row"]
    assert heads == ["12 tags v0, v1, …", "w"]
    assert texts(page, "summary").count("The 12 tags") == 1
    assert page.count("Give the account the right.") == 1
    for tag in range(12):
        assert f"cannot push manifest prod/web:v{tag}: refused v{tag}" in page, "each can be read in full"


def test_one_failure_alone_is_told_at_its_tag_only(console, rule):
    assert 'id="causes"' not in page_of(console, failed_at(rule, "target"))


def test_more_failures_than_are_looked_at_are_told_as_at_least(console, rule, monkeypatch):
    monkeypatch.setattr(failures, "GROUPED", 5)
    page = page_of(console, failed_alike(rule, 12, "prod/web"))
    assert "At least 5 tags" in page


@pytest.mark.parametrize(("side", "instance"), [("source", "prod-gz"), ("target", "prod-eu")])
def test_failures_of_one_side_lead_to_its_form_and_name_its_address(console, rule, side, instance):
    page = page_of(console, failed_at(rule, side, side))
    told = f"All that failed, failed at the {side}, {instance}, whose address is http://127.0.0.1:1 ."
    assert told in words(by_id(page, "failing-side"))
    link = by_id(page, "edit-side")
    assert (words(link), attributes(link)["href"]) == (f"Edit {instance}", f"/instances/{instance}/edit/")


@pytest.mark.parametrize("sides", [("source", "target"), ("target", ""), ("",)])
def test_failures_of_both_sides_or_of_the_console_itself_lead_to_no_form(console, rule, sides):
    assert "failing-side" not in page_of(console, failed_at(rule, *sides))


def test_a_task_that_could_not_list_the_source_leads_to_the_form_of_the_source(console, rule):
    reason = "Source prod-gz: cannot list repositories: the registry answered 401. Check the password."
    page = page_of(console, make_task(rule, "failed", reason=reason))
    assert words(by_id(page, "edit-side")) == "Edit prod-gz"
    page = page_of(console, make_task(rule, "failed", reason="An unexpected fault in the console (KeyError)."))
    assert "failing-side" not in page


def test_an_instance_that_is_deleted_has_no_form(console, rule):
    task = failed_at(rule, "target")
    SyncTask.objects.update(target=None)
    assert "failing-side" not in page_of(console, task)
    assert "Retry failed (1)" in texts(page_of(console, task), "button")


@pytest.mark.parametrize("status", ["waiting", "synchronizing", "stopped", "succeeded"])
def test_before_anything_is_planned_there_are_no_counters(console, rule, status):
    task = make_task(rule, status)
    assert 'class="counters"' not in page_of(console, task)
    SyncTask.objects.update(planned=1)
    assert 'class="counters"' in page_of(console, task)


def test_a_stopped_task_tells_who_stopped_it_and_can_be_run_again(console, rule):
    task = make_task(rule, "waiting")
    assert "Sync" not in texts(page_of(console, task), "button")
    console.post(f"{url_of(task)}stop/")
    page = page_of(console, task)
    assert dict(zip(texts(page, "dt"), texts(page, "dd"), strict=False))["Stopped by"] == "root"
    assert "Asked to stop by root." in texts(page, "span")
    answer = console.post(attributes(by_id(page, f"sync-{rule.pk}"))["formaction"], follow=True)
    assert answer.redirect_chain == [(url_of(rule.tasks.exclude(pk=task.pk).get()), 302)]


def test_who_asks_again_is_not_the_one_who_stopped_it(console, rule):
    task = make_task(rule, "synchronizing", stop_requested=True, stopped_by="ann")
    task.parts.create(claim="a-worker")
    console.post(f"{url_of(task)}stop/")
    task.refresh_from_db()
    assert (task.status, task.stopped_by) == ("synchronizing", "ann")
    assert "Stopped by" not in texts(page_of(console, task), "dt"), "it may yet end otherwise"


def test_a_stopped_task_of_a_deleted_rule_cannot_be_run_again(console, rule):
    task = make_task(rule, "waiting")
    console.post("/i/prod-gz/rules/web/delete/")
    task.refresh_from_db()
    assert (task.status, task.stopped_by) == ("stopped", "root")
    assert "Sync" not in texts(page_of(console, task), "button")
