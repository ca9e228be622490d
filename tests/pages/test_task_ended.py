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
