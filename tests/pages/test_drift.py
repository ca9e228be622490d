"""The page that checks a rule, step by step."""

from threading import BoundedSemaphore

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sync.models import Instance, SyncRule, SyncTask
from sync.oci.client import Client as RegistryClient
from sync.oci.client import Endpoint
from sync.services import drift
from sync.services.drift import comparing, sides
from tests.oci.artifacts import push_image
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, make_task

CHECK = "/i/prod-gz/rules/web/check/"
RUN = f"{CHECK}?run=1"
STEP = HTMX | {"HX-Target": "check-step"}


@pytest.fixture
def filled(rule: SyncRule, start_registry) -> SyncRule:
    """Of five tags of prod/web the target has two, and prod/old besides."""
    urls = []
    for names in (["prod/web:v1", "prod/web:v2", "prod/web:v3", "prod/web:v4", "prod/web:v5"],
                  ["prod/web:v1", "prod/web:v4", "prod/old:v1"]):  # fmt: skip
        registry = start_registry()
        client = RegistryClient(Endpoint(registry.url))
        for name in names:
            repository, tag = name.split(":")
            push_image(client, repository, tag)
        client.close()
        urls.append(registry.url)
    rule.source.url, rule.target.url = urls
    rule.source.save()
    rule.target.save()
    return rule


@pytest.fixture
def steps_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "STEP_SECONDS", 0)
    monkeypatch.setattr(comparing, "COMPARED_AT_ONCE", 2)


def got(console: Client, url: str, **headers: str) -> str:
    answer = console.get(url, headers=headers)
    assert answer.status_code == 200
    assert {"HX-Request", "HX-Target"} <= set(answer.headers["Vary"].replace(" ", "").split(","))
    return answer.content.decode()


def status(page: str) -> str:
    return words(next(one for one in elements(page, "p") if attributes(one).get("class") == "so-far"))


def told_aloud(page: str) -> set[str]:
    """The ids of the elements that a screen reader follows."""
    return {attributes(one).get("id", "") for one in elements(page) if attributes(one).get("role") == "status"}


def next_step(page: str) -> str:
    """What the page asks for by itself; blank when it asks for nothing."""
    return attributes(by_id(page, "check-step")).get("hx-get", "")


def found(page: str) -> list[str]:
    return [words(head) for head in elements(page, "th") if attributes(head)["scope"] == "row"]


def link(page: str, name: str) -> str:
    return next(attributes(one)["href"] for one in elements(page, "a") if words(one) == name)


def test_the_page_of_a_rule_leads_to_its_check_which_says_what_it_does(console, rule):
    assert link(got(console, "/i/prod-gz/rules/web/"), "Check") == reverse("rule-check", args=["prod-gz", "web"])
    page = got(console, CHECK)
    assert texts(page, "h1") == ["Check web"]
    assert "Nothing is copied, changed or recorded." in page and "are not compared" in page
    facts = texts(page, "dd")
    assert facts[0].startswith("prod-gz") and facts[1].startswith("prod-eu")
    form = next(one for one in elements(page, "form") if "hx-get" in attributes(one))
    assert (attributes(form)["action"], attributes(form)["method"], attributes(form)["hx-get"]) == (CHECK, "get", CHECK)
    assert words(by_id(page, "check-go")) == "Check now"


def test_what_is_found_and_what_can_be_done_about_it(console, filled):
    page = got(console, RUN)
    assert status(page) == "Checked 1 repository, 5 tags: 2 equal, 3 missing, 0 different, 1 extra."
    assert found(page) == ["prod/web:v2", "prod/web:v3", "prod/web:v5", "prod/old:v1"]
    assert link(page, "prod/web:v2") == reverse("where", query={"ref": "prod/web:v2"}).replace("%2F", "/")
    cells = texts(page, "td")
    assert "Missing in the target" in cells and "There, but not in the source" in cells
    assert any("Sync brings what is missing." in text for text in texts(page, "li"))
    extra = next(text for text in texts(page, "li") if "is there, but not in the source" in text)
    assert extra.endswith("or belong to something else. Sync leaves it as it is.")
    sync = by_id(page, f"sync-{filled.pk}")
    assert attributes(sync)["formaction"] == reverse("rule-sync", args=["prod-gz", "web"])
    assert not next_step(page) and not SyncTask.objects.exists()
    assert words(by_id(page, "check-go")) == "Check again"


def test_what_is_extra_says_how_much_of_it_a_sync_deletes(console, filled):
    SyncRule.objects.update(delete_removed=True, removal_share=5)
    extra = next(text for text in texts(got(console, RUN), "li") if "is there, but not in the source" in text)
    assert extra.endswith(
        "or belong to something else. Of these, Sync deletes only what the rule itself brought. "
        "If that is more than 5 % of all it has brought, it asks first."
    )


def test_a_target_that_holds_everything_is_told_without_a_table_or_a_button(console, filled):
    SyncRule.objects.update(tags="v1|v4", repositories="web")
    page = got(console, RUN)
    assert status(page) == "Checked 1 repository, 2 tags: 2 equal, 0 missing, 0 different, 0 extra."
    assert "The target holds what the rule promises." in texts(page, "li")
    assert found(page) == [] and f'id="sync-{filled.pk}"' not in page


def test_what_differs_leads_to_the_configuration_and_what_cannot_be_told_has_its_reason(console, filled):
    with_other = RegistryClient(Endpoint(filled.target.url))
    push_image(with_other, "prod/web", "v2", b"another layer")
    with_other.close()
    page = got(console, RUN)
    assert "2 equal, 2 missing, 1 different" in status(page)
    assert "Different, stays as it is" in texts(page, "td")
    assert link(page, "configuration") == reverse("rule-edit", args=["prod-gz", "web"])
    SyncRule.objects.update(overwrite=True)
    page = got(console, RUN)
    assert "Different, would be overwritten" in texts(page, "td")
    assert any("and overwrites what differs" in text for text in texts(page, "li"))


@pytest.mark.usefixtures("steps_of_two")
def test_each_step_asks_for_the_next_and_brings_what_it_found(console, filled):
    first = got(console, RUN, **HTMX)
    assert not texts(first, "h1") and words(by_id(first, "check"))
    assert status(first) == "0 repositories, 2 tags compared so far." and found(first) == ["prod/web:v2"]
    step = attributes(by_id(first, "check-step"))
    assert step["hx-trigger"].startswith("load,") and step["hx-target"] == "this" and step["hx-swap"] == "outerHTML"
    second = got(console, step["hx-get"], **STEP)
    assert status(second) == "0 repositories, 4 tags compared so far."
    assert found(second) == ["prod/web:v3"], "in the middle of a repository it goes on with the next tag"
    rows = next(elements(second, "tbody"))
    assert attributes(rows)["hx-swap-oob"] == "beforeend:#findings" and attributes(by_id(first, "findings")) is not None
    assert not list(elements(second, "table"))
    last, url = second, next_step(second)
    listed = found(first) + found(second)
    while url:
        last = got(console, url, **STEP)
        listed += found(last)
        url = next_step(last)
    assert status(last) == "Checked 1 repository, 5 tags: 2 equal, 3 missing, 0 different, 1 extra."
    assert listed == ["prod/web:v2", "prod/web:v3", "prod/web:v5", "prod/old:v1"]
    assert "Check finished: Checked 1 repository" in words(by_id(last, "announcer"))


@pytest.mark.usefixtures("steps_of_two")
def test_without_script_a_link_leads_from_step_to_step(console, filled):
    page = got(console, RUN)
    assert texts(page, "h1") == ["Check web"] and found(page) == ["prod/web:v2"]
    steps = [page]
    while "Continue" in texts(page, "a"):
        page = got(console, link(page, "Continue"))
        assert texts(page, "h1") == ["Check web"]
        steps.append(page)
    assert [name for page in steps for name in found(page)] == [
        "prod/web:v2",
        "prod/web:v3",
        "prod/web:v5",
        "prod/old:v1",
    ]
    assert status(page).startswith("Checked 1 repository, 5 tags: 2 equal")
    assert "What earlier steps found is on the pages before this one." in texts(page, "p")


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "PLACE_SECONDS", 0.0)
    monkeypatch.setattr(drift, "_places", BoundedSemaphore(1))
    assert drift._places.acquire()


@pytest.mark.usefixtures("crowded")
def test_where_others_are_checking_it_goes_on_in_a_moment(console, filled):
    page = got(console, RUN)
    assert status(page).startswith("Others are checking; it goes on in a moment. 0 repositories")
    part = got(console, link(page, "Continue"), **STEP)
    assert status(part) == status(page) and found(page) == found(part) == []
    assert attributes(by_id(part, "check-step"))["hx-trigger"].startswith("load delay:5s,")
    drift._places.release()
    last = got(console, next_step(part), **STEP)
    assert status(last) == "Checked 1 repository, 5 tags: 2 equal, 3 missing, 0 different, 1 extra."


@pytest.mark.usefixtures("steps_of_two")
def test_what_is_told_aloud_is_told_in_an_element_that_stays(console, filled):
    page = got(console, RUN)
    assert told_aloud(page) == {"announcer", "paused"}
    part, aloud = got(console, next_step(page), **STEP), 0
    while True:
        assert not told_aloud(part)
        aloud += 'id="announcer"' in part
        if not next_step(part):
            break
        part = got(console, next_step(part), **STEP)
    assert aloud == 1, "the end, not each step"


@pytest.mark.usefixtures("steps_of_two")
def test_a_check_is_stopped_and_goes_on_where_it_was(console, filled):
    first = got(console, RUN, **HTMX)
    stop = attributes(by_id(first, "check-go"))
    assert stop["href"] == stop["hx-get"] and stop["hx-sync"] == "#check-step:replace"
    stopped = got(console, stop["hx-get"], **STEP)
    assert "Stopped" in texts(stopped, "p") and not next_step(stopped)
    assert status(stopped) == "0 repositories, 2 tags compared so far."
    assert words(by_id(stopped, "check-go")) == "Continue"
    assert found(got(console, link(stopped, "Continue"), **STEP)) == ["prod/web:v3"]


@pytest.mark.usefixtures("steps_of_two")
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_that_is_away_is_explained_and_the_check_goes_on_afterwards(console, filled, side):
    url = next_step(got(console, RUN, **HTMX))
    instance = getattr(filled, side)
    filled_url = instance.url
    # Where an instance is, is part of the check: it is taken away behind its address.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "open_side", _open_elsewhere(side))
        page = got(console, url, **STEP)
    assert instance.url == filled_url
    problem = next(one for one in elements(page, "div") if "problem" in attributes(one).get("class", ""))
    assert f"{side.capitalize()} {instance.name}: cannot reach the registry" in words(problem)
    assert "Check the address" in words(problem)
    assert not next_step(page) and "The check is interrupted:" in words(by_id(page, "announcer"))
    assert found(got(console, link(page, "Continue"), **STEP)) == ["prod/web:v3"]


def _open_elsewhere(side: str):
    """Opens sides as ever, but this one where nobody listens."""
    really = sides.open_side

    def opened(instance: Instance, at: str, *more):
        there = Instance(name=instance.name, url="http://127.0.0.1:1", kind=instance.kind)
        return really(there if at == side else instance, at, *more)

    return opened


@pytest.mark.usefixtures("steps_of_two")
def test_a_check_of_a_rule_that_is_changed_does_not_go_on(console, filled):
    first = got(console, RUN, **HTMX)
    url = next_step(first)
    SyncRule.objects.update(tags="v1")
    page = got(console, url, **STEP)
    assert "the rule or one of its instances was changed" in words(by_id(page, "check-step"))
    assert words(by_id(page, "check-go")) == "Check again"
    page = got(console, url)
    assert texts(page, "h1") == ["Check web"] and words(by_id(page, "check-go")) == "Check now"
    assert "the rule or one of its instances was changed" in words(by_id(page, "check"))


@pytest.mark.usefixtures("steps_of_two")
def test_nobody_makes_up_what_a_check_has_found(console, filled):
    real = next_step(got(console, RUN))
    for url in (f"{CHECK}?at=", f"{CHECK}?at=nonsense", f"{CHECK}?at=a:b:c", f"{real}x"):
        page = got(console, url)
        assert "This check cannot go on" in words(by_id(page, "check")) and found(page) == []


def test_a_run_of_the_rule_is_told(console, rule):
    task = make_task(rule, "synchronizing")
    assert link(got(console, CHECK), f"Task {task.pk}") == reverse("task", args=["prod-gz", task.pk])


def test_who_may_not_see_the_rule_may_not_check_it(filled):
    outsider = Client()
    outsider.force_login(User.objects.create_user("sub-account"))
    for url in (CHECK, RUN):
        assert outsider.get(url).status_code == 404
        assert outsider.get(url, headers=HTMX).status_code == 404
    assert Client().get(CHECK).headers["Location"].startswith("/login/")


def test_it_is_only_looked_at(console, rule):
    assert console.post(CHECK).status_code == 405


@pytest.mark.usefixtures("steps_of_two")
def test_it_costs_few_queries(console, filled, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        page = got(console, RUN)
    with django_assert_max_num_queries(12):
        got(console, next_step(page), **STEP)
