"""The page of a task while it runs: what polls bring, what they leave alone, what they announce; what is under way."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from sync.models import SyncTask, TaskRepository
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, live, make_repository, make_task, page_links, url_of

LATER = "2030-05-04T03:02:01+00:00"


@pytest.fixture
def task(rule) -> SyncTask:
    started = timezone.now() - timedelta(minutes=2)
    return make_task(rule, "synchronizing", started_at=started, planned=100, all_planned=True, repository_count=2)


@pytest.fixture
def repository(task) -> TaskRepository:
    return make_repository(task, "prod/web", "synchronizing", planned=50, listed=True)


def rows(html: str) -> dict[str, bool]:
    """The rows of repositories in an answer, and whether the reader has them already."""
    found = [attributes(body) for body in elements(html, "tbody")]
    return {one["id"]: "data-kept" in one for one in found if one.get("id", "").startswith("repository-")}


def announced(html: str) -> str:
    return "".join(words(part) for part in elements(html, "div") if attributes(part).get("id") == "announcer")


def test_a_poll_brings_the_rows_that_changed_and_names_the_others(console, task, repository):
    other = make_repository(task, "prod/api", "synchronizing", planned=50, listed=True)
    poll = live(console.get(url_of(task)).content.decode(), "repositories")
    assert (poll["hx-swap"], poll["hx-ext"]) == ("rows", "rows")
    headers = {**HTMX, "HX-Target": "repositories"}
    assert console.get(poll["hx-get"], headers=headers).status_code == 204
    TaskRepository.objects.filter(pk=other.pk).update(copied=7)
    part = console.get(poll["hx-get"], headers=headers).content.decode()
    assert rows(part) == {f"repository-{other.pk}": False, f"repository-{repository.pk}": True}
    assert "7 of 50" in texts(part, "span") and "prod/web" not in part
    again = live(part, "repositories")
    assert console.get(again["hx-get"], headers=headers).status_code == 204
    TaskRepository.objects.filter(pk=repository.pk).update(status="failed", failed=1)
    part = console.get(again["hx-get"], headers=headers).content.decode()
    assert list(rows(part)) == [f"repository-{repository.pk}", f"repository-{other.pk}"], "failed ones first"


def test_pages_and_filters_bring_whole_rows(console, task, repository):
    TaskRepository.objects.bulk_create(TaskRepository(task=task, name=f"r{n:02}", target_name="r") for n in range(60))
    html = console.get(url_of(task)).content.decode()
    poll = live(html, "repositories")["hx-get"].replace("seen=", "seen=0")
    part = console.get(poll, headers=HTMX | {"HX-Target": "repositories"}).content.decode()
    on = page_links(part)["next"]
    assert all(rows(part).values()) and "rows=" not in on
    assert not any(rows(console.get(on).content.decode()).values())


def test_bytes_of_the_whole_are_told_where_they_are_known(console, task, repository):
    def label() -> str:
        return words(by_id(console.get(url_of(task)).content.decode(), "progress-label"))

    SyncTask.objects.update(planned=20, copied=1, moved_bytes=100 * 2**20)
    assert "100.0 MB moved so far" in label(), "less than a tenth is done"
    SyncTask.objects.update(planned=1, copied=0)
    task.parts.create(repository=repository, claim="a", under_way={"v1": [100 * 2**20, 400 * 2**20]})
    assert "100.0 MB of about 400.0 MB moved" in label()
    assert "about 6 min left" in label()
    SyncTask.objects.update(all_planned=False)
    assert "100.0 MB moved so far" in label()
    SyncTask.objects.update(status="succeeded")
    assert "100.0 MB moved" in label() and "so far" not in label()


def test_what_is_under_way_has_a_row_of_its_own(console, task, repository):
    task.parts.create(repository=repository, claim="a", under_way={"v2": [2**20, 4 * 2**20]})
    task.parts.create(repository=repository, claim="", under_way={"left": [1, 2]})
    repository.resources.create(tag="v1", outcome="copied", digest="sha256:" + "a" * 64)
    page = console.get(f"{url_of(task)}repositories/{repository.pk}/").content.decode()
    assert [words(head) for head in elements(page, "th") if attributes(head)["scope"] == "row"] == ["v2", "v1"]
    assert "Copying" in texts(page, "span") and "of about 4.0 MB" in texts(page, "span")
    assert any("resources of" in text.lower() for text in texts(console.get(url_of(task)).content.decode(), "a"))


def test_a_repository_that_is_worked_on_tells_its_bytes_of_how_many(console, task, repository):
    TaskRepository.objects.update(planned=1, moved_bytes=2**20)
    task.parts.create(repository=repository, claim="a", under_way={"v2": [2**20, 4 * 2**20]})
    moved = [words(cell) for cell in elements(console.get(url_of(task)).content.decode(), "td")]
    assert "1.0 MB of about 4.0 MB" in moved
    SyncTask.objects.update(status="stopped")
    assert "of about" not in console.get(url_of(task)).content.decode(), "nothing is to come"


def test_a_resource_tells_its_size_where_it_is_known(console, task, repository):
    repository.resources.create(tag="v1", outcome="copied", size=3 * 2**20, moved_bytes=2**20)
    repository.resources.create(tag="v2", outcome="copied")
    page = console.get(f"{url_of(task)}repositories/{repository.pk}/").content.decode()
    sizes = [words(cell) for cell in elements(page, "td") if attributes(cell).get("data-label") == "Size"]
    assert sizes == ["3.0 MB", "—"]


def test_what_waits_for_its_next_try_tells_attempts_and_reason(console, task, repository):
    later = datetime.fromisoformat(LATER)
    TaskRepository.objects.update(status="waiting", reason="v3: the target is busy.", next_try_at=later)
    task.parts.create(repository=repository, tags=["v3", "v4"], put_offs=2, not_before=later)
    page = console.get(f"{url_of(task)}repositories/{repository.pk}/").content.decode()
    assert [words(head) for head in elements(page, "th") if attributes(head)["scope"] == "row"] == ["v3", "v4"]
    assert "2 attempts" in texts(page, "span") and "v3: the target is busy." in texts(page, "p")
    assert LATER in [attributes(when)["datetime"] for when in elements(page, "time")]


def test_a_resource_tells_its_attempts_and_has_its_digest_copied(console, task, repository):
    digest = "sha256:" + "a" * 64
    tried = repository.resources.create(tag="v1", outcome="failed", digest=digest, reason="Busy.", attempts=3)
    repository.resources.create(tag="v0", outcome="copied", digest=digest, attempts=1)
    page = console.get(f"{url_of(task)}repositories/{repository.pk}/").content.decode()
    assert "3 attempts" in texts(page, "span") and "1 attempts" not in texts(page, "span")
    assert dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))["Attempts"] == "3"
    button = attributes(by_id(page, f"copy-{tried.pk}"))
    assert words(by_id(page, button["data-copy"])) == digest
    assert button["aria-label"] == "Copy the digest of v1"


def test_a_failed_task_opens_on_its_failures(console, rule):
    task = make_task(rule, "partial", planned=20, failed=7, all_planned=True, repository_count=8)
    make_repository(task, "prod/good", planned=1, copied=1)
    for number in range(7):
        make_repository(task, f"prod/{number}", "partial", planned=2, copied=1, failed=1)
    opened = [attributes(one) for one in elements(console.get(url_of(task)).content.decode(), "details")]
    of_rows = [one for one in opened if one.get("id", "").startswith("details-")]
    assert ["open" in one for one in of_rows] == [True] * 5 + [False] * 3


def test_progress_is_announced_at_each_quarter_else_every_30_seconds_and_the_end_once(console, task, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("sync.views.tasks.time", lambda: now[0])
    html = console.get(url_of(task)).content.decode()

    def poll(seconds: float, **changes) -> str:
        nonlocal html
        now[0] += seconds
        SyncTask.objects.update(**changes)
        html = console.get(live(html, "progress")["hx-get"], headers=HTMX).content.decode()
        return announced(html)

    assert announced(html) == ""
    assert poll(5, copied=10) == ""
    assert poll(5, copied=25) == f"Task {task.pk}: 25 of 100 resources done"
    assert poll(5, copied=26) == ""
    assert poll(26, copied=27) == f"Task {task.pk}: 27 of 100 resources done"
    assert poll(29, copied=28) == ""
    assert poll(1, status="succeeded", copied=100) == f"Task {task.pk}: Succeeded, 100 of 100 · 100 %"
    assert "hx-get" not in live(html, "progress")


def test_that_it_waits_is_announced_once(console, task, rule):
    html = console.get(url_of(task)).content.decode()
    rule.target.down_since, rule.target.down_reason = timezone.now(), "Refused."
    rule.target.save()
    html = console.get(live(html, "progress")["hx-get"], headers=HTMX).content.decode()
    assert announced(html) == f"Task {task.pk} waits for prod-eu (Frankfurt)"
    SyncTask.objects.update(copied=60)
    html = console.get(live(html, "progress")["hx-get"], headers=HTMX).content.decode()
    assert "60 of 100" in html and announced(html) == ""


def statuses(console, url: str) -> list[str]:
    page = console.get(url).content.decode()
    found = (element for element in elements(page, "span") if "status" in attributes(element).get("class", "").split())
    return [words(element) for element in found if words(element) in ("Waiting", "Synchronizing")]


LOGS, RULES = "/i/prod-gz/rules/web/", "/i/prod-gz/rules/"


def test_a_task_that_waits_for_a_side_is_shown_as_waiting_everywhere(console, task, rule):
    assert [statuses(console, url)[0] for url in (url_of(task), LOGS, RULES)] == ["Synchronizing"] * 3
    rule.target.down_since, rule.target.down_reason = timezone.now(), "Target prod-eu: refused."
    rule.target.save()
    for url in (url_of(task), LOGS, RULES):
        assert statuses(console, url)[0] == "Waiting", url
        assert "Target prod-eu: refused." in console.get(url).content.decode(), url
    assert statuses(console, f"{LOGS}?status=waiting") == ["Waiting"]
    assert statuses(console, f"{LOGS}?status=synchronizing") == []


def test_so_is_one_of_which_all_that_is_left_is_put_off(console, task, repository):
    part = task.parts.create(repository=repository, not_before=timezone.now() + timedelta(hours=1))
    TaskRepository.objects.update(next_try_at=part.not_before, status="waiting")
    assert [statuses(console, url)[0] for url in (url_of(task), LOGS)] == ["Waiting"] * 2
    task.parts.create(repository=repository, claim="a-worker")
    assert [statuses(console, url)[0] for url in (url_of(task), LOGS)] == ["Synchronizing"] * 2
    assert statuses(console, f"{LOGS}?status=waiting") == []


@pytest.mark.parametrize(
    ("trigger", "selection", "shown"),
    [
        ("push", [("prod/web", "v1")], "Push prod/web:v1"),
        ("push", [("prod/web", "v1"), ("prod/api", "v2"), ("prod/api", "v3")], "Push prod/web:v1 and 2 more"),
        ("push", [("prod/web", "")], "Push prod/web"),
        ("command", [("prod/web", "v1")], "Command prod/web:v1"),
        ("retry", [("prod/web", "v1"), ("prod/web", "v2")], "Retry 2 resources"),
        ("retry", [("prod/web", "v1")], "Retry 1 resource"),
        ("manual", [], "Manual"),
    ],
)
def test_the_trigger_tells_what_is_covered(console, rule, trigger, selection, shown):
    chosen = [{"repository": repository, "tag": tag, "at": 1.0} for repository, tag in selection]
    task = make_task(rule, trigger=trigger, selection=chosen)
    assert shown in texts(console.get(LOGS).content.decode(), "td")
    assert shown in texts(console.get(url_of(task)).content.decode(), "dd")
