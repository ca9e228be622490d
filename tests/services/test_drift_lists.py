"""Check: lists that are long, or take longer than a step, are read once and in steps."""

import pytest

from sync.models import SyncRule
from sync.services import drift
from sync.services.drift import comparing, sides
from tests.fakes.lists import CATALOG, ListingRegistry
from tests.services.support import make_instance, make_rule
from tests.services.test_drift import check

pytestmark = [pytest.mark.django_db, pytest.mark.any_database, pytest.mark.usefixtures("quick_backoff")]

TAGS = [f"v{number}" for number in range(10, 18)]
LIST = "/v2/prod/a/tags/list"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of eight pages, each after 0.3 seconds, takes three steps."""
    for module in (comparing, sides):
        monkeypatch.setattr(module, "CALL_SECONDS", 1.0)


def rule_between(source: ListingRegistry, target: ListingRegistry) -> SyncRule:
    sides = make_instance("long-source", source.url), make_instance("long-target", target.url)
    return make_rule(*sides, source_namespace="prod", target_namespace="prod")


def test_of_huge_repositories_each_list_is_read_once_and_one_repository_at_a_time(monkeypatch):
    monkeypatch.setattr(drift, "STEP_SECONDS", 0)
    page, tags = 5_000, [f"v{number}" for number in range(100_000, 150_000)]
    huge = {f"prod/{name}": tags for name in "abc"}
    with ListingRegistry(huge, page, {}) as source, ListingRegistry(huge, page, {}) as target:
        rule = rule_between(source, target)
        step = drift.go_on(rule, drift.begin())
        for number in range(1, 4):
            step = drift.go_on(rule, step.progress)
            assert step.progress.tag == tags[32 * number - 1], "each step gets on"
        for side in (source, target):
            most = comparing.READ_AT_ONCE // page
            assert side.asked[LIST] <= len(tags) // page + 1
            assert all(side.asked[f"/v2/prod/{name}/tags/list"] <= most for name in "bc")
            assert side.asked[CATALOG] == (side is source)


@pytest.mark.usefixtures("hasty")
def test_a_list_of_repositories_that_takes_longer_than_a_step_is_gone_on_with():
    names = {f"prod/r{number}": ["v1"] for number in range(8)}
    with ListingRegistry(names, 1, {CATALOG: 0.3}) as source, ListingRegistry(names, 100, {}) as target:
        rule = rule_between(source, target)
        step = drift.go_on(rule, drift.begin())
        assert not step.problem and 0 < step.listing < 8 and not step.progress.is_done
        found, step = check(rule)
        assert found == [] and (step.progress.repositories, step.progress.equal) == (8, 8)
        assert len([one for one in source.received("GET", CATALOG) if "last" not in one.target]) == 2, "once a check"


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.usefixtures("hasty")
def test_a_list_of_tags_that_takes_longer_than_a_step_is_gone_on_with(side):
    names, slow = {"prod/a": TAGS, "prod/b": ["v1"]}, {LIST: 0.3}
    with (
        ListingRegistry(names, 1, slow if side == "source" else {}) as source,
        ListingRegistry(names, 1, slow if side == "target" else {}) as target,
    ):
        found, step = check(rule_between(source, target))
        assert found == [] and (step.progress.repositories, step.progress.equal) == (2, 9)
        assert step.progress.steps > 2
        listing = source if side == "source" else target
        assert len([one for one in listing.received("GET", LIST) if "last" not in one.target]) == 1


@pytest.mark.usefixtures("hasty")
def test_a_registry_that_begins_its_list_anew_cannot_be_read_in_steps():
    names = {f"prod/r{number}": ["v1"] for number in range(8)}
    with ListingRegistry(names, 1, {CATALOG: 0.3}, knows_last=False) as source, ListingRegistry({}, 1, {}) as target:
        rule = rule_between(source, target)
        step = drift.go_on(rule, drift.begin())
        assert not step.problem
        step = drift.go_on(rule, step.progress)
    assert step.problem.startswith("Source long-source: cannot list the repositories: its list cannot be read in steps")
