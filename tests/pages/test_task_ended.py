"""The page of a task that has ended badly or was stopped: where to mend it, who stopped it, what can be done next."""

import pytest

from sync.models import SyncTask
from tests.pages.html import attributes, by_id, texts, words
from tests.pages.test_tasks import make_repository, make_task, url_of


def page_of(console, task: SyncTask) -> str:
    return str(console.get(url_of(task)).content.decode())


def failed_at(rule, *sides: str) -> SyncTask:
    task = make_task(rule, "partial", planned=9, failed=len(sides), repository_count=1)
    repository = make_repository(task, "prod/web", "partial", planned=9, failed=len(sides), listed=True)
    for number, side in enumerate(sides):
        repository.resources.create(tag=f"v{number}", outcome="failed", side=side, reason="Refused.")
    return task


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
