"""Check: in what a target differs from what a rule promises, found without changing anything."""

from collections import Counter
from collections.abc import Callable

import pytest
from django.core.cache import cache

from sync.models import SyncRule, SyncTask
from sync.services import drift
from sync.services.drift import Progress, Step, What, comparing, findings
from tests.replication.support import lacking, push, sign, some_chart, some_image
from tests.services.support import make_rule
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def check(rule: SyncRule, between: Callable[[], object] = lambda: None) -> tuple[list[drift.Finding], Step]:
    """A check to its end: all that it lists, and its last step."""
    found, progress = [], drift.begin()
    for _ in range(100):
        step = drift.go_on(rule, progress)
        assert not step.problem
        found += step.findings
        progress = step.progress
        if progress.is_done:
            return found, step
        between()
    raise AssertionError("the check does not get on")


def names(found: list[drift.Finding]) -> dict[str, What]:
    return {one.name: one.what for one in found}


@pytest.fixture
def steps_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "STEP_SECONDS", 0)
    monkeypatch.setattr(comparing, "COMPARED_AT_ONCE", 2)
    monkeypatch.setattr(comparing, "LISTED_AT_ONCE", 2)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_differs_is_missing_or_extra(overwrite, rule, namespace, source, target, judge):
    same, ours, theirs, left = some_image(), some_image(), some_image(), some_image()
    for tag, here, there in (("v1", same, same), ("v2", ours, None), ("v3", ours, theirs), ("v4", None, left)):
        for url, repository, image in ((source, namespace, here), (target, f"mirror-{namespace}", there)):
            if image:
                push(url, f"{repository}/web", tag, image)
    push(target, f"mirror-{namespace}/web", "nightly", left)
    push(target, f"mirror-{namespace}/old", "v1", left)
    push(target, f"mirror-{namespace}/charts", "v1", some_chart())
    push(target, f"other-{namespace}/web", "v1", left)
    push(source, f"{namespace}/charts", "v2", some_chart())
    rule.target_namespace, rule.tags, rule.overwrite, rule.charts = f"mirror-{namespace}", "v.*", overwrite, False
    found, step = check(rule)
    progress = step.progress
    assert names(found) == {
        f"{namespace}/web:v2": What.MISSING,
        f"{namespace}/web:v3": What.OVERWRITE if overwrite else What.CONFLICT,
        f"mirror-{namespace}/web:v4": What.EXTRA,
        f"mirror-{namespace}/old:v1": What.EXTRA,
    }, "neither what the tags leave out, nor another type, nor what lies elsewhere"
    moved = next(one for one in found if one.tag == "v3")
    assert (moved.digest, moved.target_digest) == (ours.digest, theirs.digest)
    assert moved.name_there == f"mirror-{namespace}/web:v3"
    assert (progress.repositories, progress.tags, progress.equal) == (2, 4, 1)
    assert (progress.missing, progress.different, progress.extra, progress.unknown) == (1, 1, 2, 0)
    assert progress.left_out == 1 and progress.brings
    assert judge.digest(target, f"mirror-{namespace}/web:v2") == ""
    assert judge.digest(target, f"mirror-{namespace}/web:v3") == theirs.digest
    assert not lacking(target, f"mirror-{namespace}/web", left)


def test_nothing_is_written_anywhere(rule, namespace, source, target, django_assert_num_queries):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as from_, Relay(target) as to:
        rule.source.url, rule.target.url = from_.url, to.url
        with django_assert_num_queries(0):
            check(rule)
        assert {one.method for one in (*from_.requests, *to.requests)} == {"GET", "HEAD"}
    assert not SyncTask.objects.exists()


def test_signatures_are_not_compared(rule, namespace, source, target):
    image = push(source, f"{namespace}/web", "v1", some_image())
    sign(source, f"{namespace}/web", image)
    push(target, f"{namespace}/web", "v1", image)
    sign(target, f"{namespace}/web", push(target, f"{namespace}/web", "", some_image()))
    found, step = check(rule)
    assert found == [] and (step.progress.tags, step.progress.equal) == (1, 1)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.usefixtures("steps_of_two")
def test_a_check_stops_in_the_middle_of_a_repository_and_goes_on_there(keeps, rule, namespace, source, target):
    """Whether the web process that takes the next step has the lists still, or is another one."""
    image, other = some_image(), some_image()
    for number in range(5):
        push(source, f"{namespace}/a", f"v{number}", image)
        push(target, f"{namespace}/a", f"v{number}", other if number == 3 else image)
    push(source, f"{namespace}/b", "v1", image)
    push(target, f"{namespace}/c", "v1", image)
    seen: list[Progress] = []
    with Relay(source) as relay:
        rule.source.url = relay.url
        found: list[drift.Finding] = []
        progress = drift.begin()
        while not progress.is_done:
            step = drift.go_on(rule, progress)
            progress, found = step.progress, found + step.findings
            seen.append(progress)
            if not keeps:
                cache.clear()
        heads = Counter(one.target for one in relay.received("HEAD"))
        listed = len(relay.received("GET", f"/v2/{namespace}/a/tags/list"))
    assert [(one.repository, one.tag) for one in seen[:3]] == [
        (f"{namespace}/a", "v1"),
        (f"{namespace}/a", "v3"),
        (f"{namespace}/a", ""),
    ]
    assert names(found) == {
        f"{namespace}/a:v3": What.CONFLICT,
        f"{namespace}/b:v1": What.MISSING,
        f"{namespace}/c:v1": What.EXTRA,
    }
    assert (progress.repositories, progress.tags, progress.equal) == (2, 6, 4)
    assert set(heads.values()) == {1}, "no tag is compared twice"
    assert listed == (1 if keeps else 3)
    assert not cache.get(f"drift:{progress.key}")


@pytest.mark.usefixtures("steps_of_two")
def test_what_is_found_beyond_the_limit_is_counted_and_not_listed(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(findings, "MOST_LISTED", 3)
    for number in range(5):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    found, step = check(rule)
    assert [one.tag for one in found] == ["v0", "v1", "v2"]
    assert (step.progress.missing, step.progress.unlisted) == (5, 2)


def test_names_that_are_spelled_out_are_asked_for_and_no_list_is(rule, namespace, source, target):
    image = some_image()
    push(source, f"{namespace}/web", "v1", image)
    push(source, f"{namespace}/web", "v9", image)
    for repository, tag in (("web", "v1"), ("web", "v2"), ("web", "v9"), ("gone", "v1"), ("other", "v1")):
        push(target, f"{namespace}/{repository}", tag, image)
    rule.repositories, rule.tags = "web|gone", "v1|v2"
    with Relay(source) as from_, Relay(target) as to:
        rule.source.url, rule.target.url = from_.url, to.url
        found, step = check(rule)
        assert not from_.received("GET", "/v2/_catalog") and not to.received("GET", "/v2/_catalog")
        assert not to.received("GET", f"/v2/{namespace}/web/tags/list")
    assert names(found) == {f"{namespace}/web:v2": What.EXTRA, f"{namespace}/gone:v1": What.EXTRA}
    assert (step.progress.repositories, step.progress.tags, step.progress.equal) == (1, 1, 1)


def test_what_a_rule_reads_on_the_same_instance_is_not_extra(guangzhou, namespace, source):
    image = some_image()
    push(source, f"{namespace}/inner/web", "v1", image)
    push(source, f"{namespace}/web", "v1", image)
    push(source, f"{namespace}/old", "v1", image)
    rule = make_rule(guangzhou, guangzhou, source_namespace=f"{namespace}/inner", target_namespace=namespace)
    found, _ = check(rule)
    assert names(found) == {f"{namespace}/old:v1": What.EXTRA}


def test_repositories_at_the_top_level_are_not_those_below_it(rule, namespace, source, target):
    image = some_image()
    rule.source_namespace, rule.target_namespace, rule.repositories = "/", namespace, f"{namespace}-.*"
    push(source, f"{namespace}-web", "v1", image)
    push(target, f"{namespace}/{namespace}-old", "v1", image)
    push(target, f"{namespace}/deep/{namespace}-old", "v1", image)
    assert names(check(rule)[0]) == {
        f"{namespace}-web:v1": What.MISSING,
        f"{namespace}/{namespace}-old:v1": What.EXTRA,
    }


def test_names_of_several_parts_that_arrive_at_the_top_level_are_extra_as_well(rule, namespace, source, target):
    image = some_image()
    # No part twice: the registry's storage in memory lists nothing any more once it holds a/a/b.
    rule.target_namespace, rule.repositories = "/", f"top-{namespace}/.*"
    push(source, f"{namespace}/top-{namespace}/web", "v1", image)
    push(target, f"top-{namespace}/web", "v1", image)
    push(target, f"top-{namespace}/old", "v1", image)
    found, step = check(rule)
    assert names(found) == {f"top-{namespace}/old:v1": What.EXTRA} and step.progress.equal == 1
