"""A quick check between two Harbors asks once for a hundred tags. At full size: python -m tests.bench --kinds."""

from time import monotonic

import pytest
from django.core.cache import cache

from sync.models import Delivery, SyncRule
from sync.registries.harbor import PAGES_AT_ONCE
from sync.services import listings
from sync.services.execute import run_slice
from tests.fakes.harbor import API
from tests.fakes.harbor_at_scale import PROJECT, ROBOT, SECRET, LargeHarbor, names, tags
from tests.fakes.registry import Answer
from tests.services.support import make_instance, make_rule, open_here, run

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

REPOSITORIES, TAGS = 60, 50
PAGES = REPOSITORIES * TAGS // 100
# Whether it answers: with and without a token, and one for that.
REACHING = 3


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.clear()
    listings._kept.clear()


@pytest.fixture
def size(request) -> tuple[int, int]:
    return getattr(request, "param", (REPOSITORIES, TAGS))


@pytest.fixture
def near(size):
    with LargeHarbor(*size) as harbor:
        yield harbor


@pytest.fixture
def far(size):
    with LargeHarbor(*size) as harbor:
        yield harbor


@pytest.fixture
def rule(near, far, size) -> SyncRule:
    """It has brought everything."""
    source, target = (
        make_instance(name, harbor.url, kind="harbor", username=ROBOT) for name, harbor in (("s", near), ("t", far))
    )
    for side in (source, target):
        side.password = SECRET
        side.save()
    made = make_rule(source, target, source_namespace=PROJECT)
    Delivery.objects.bulk_create(
        Delivery(rule=made, target=target, repository=name, tag=tag, digest=digest)
        for name in names(size[0])
        for tag, digest in tags(name, size[1]).items()
    )
    return made


def of_project(harbor: LargeHarbor) -> int:
    return len(harbor.received("GET", f"{API}/projects/{PROJECT}/artifacts"))


@pytest.mark.parametrize("size", [(REPOSITORIES, TAGS), (24, 150)], indirect=True, ids=str)
def test_everything_is_checked_with_a_request_for_a_hundred_tags(size, rule, near, far):
    task = run(rule, quick=True)
    number = size[0] * size[1]
    assert (task.unchanged, task.planned) == (number, number)
    for harbor in (near, far):
        assert len(harbor.requests) <= number / 100 + REACHING
    assert not listings._kept, "what was listed goes with the task"


def test_what_is_newer_is_looked_at(rule, near, far):
    name = next(names(REPOSITORIES))
    near._of[name][3] = f"sha256:{7:064}", ["v1.3"]
    del near.held[name].tags["v1.3"]
    task = run(rule, quick=True)
    assert task.unchanged == REPOSITORIES * TAGS - 1
    heads = near.received("HEAD", "/v2/")
    assert {one.target for one in heads} == {f"/v2/{name}/manifests/v1.3"}


def test_later_turns_of_the_process_look_at_what_was_listed(rule, near, far, settings):
    settings.REPOSITORIES_AT_ONCE = 2
    task = open_here(rule, quick=True)
    turns = 1
    while run_slice(task, seconds=0.4):
        turns += 1
    task.refresh_from_db()
    assert task.unchanged == REPOSITORIES * TAGS
    assert turns > 1
    for harbor in (near, far):
        assert of_project(harbor) <= PAGES + turns
        alone = harbor.received("GET", f"{API}/projects/{PROJECT}/repositories/")
        assert len(alone) < 2 * turns, "those that a turn left in their midst"


def test_a_full_check_lists_each_repository_for_itself(rule, near, far):
    rule.tags = "latest"
    rule.save()
    assert run(rule).unchanged == REPOSITORIES
    assert of_project(near) == of_project(far) == 0


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({"repositories": "team-.*/service-00[0-4].*"}, True),
        ({"repositories": "team-.*/service-000.*"}, False),
        ({"repositories": "team-00/service-0000|team-01/service-0001"}, False),
        ({"source_namespace": f"{PROJECT}/team-00"}, False),
    ],
    ids=["most", "few", "named", "a small part"],
)
def test_it_pays_only_where_most_is_looked_at(fields, listed, rule, near, far):
    SyncRule.objects.filter(pk=rule.pk).update(target_namespace=PROJECT)
    for name, value in fields.items():
        setattr(rule, name, value)
    rule.save()
    task = run(rule, quick=True)
    assert task.planned
    assert bool(of_project(near)) == bool(of_project(far)) == listed


def test_an_older_harbor_is_asked_for_each_repository(rule, near, far):
    near.lists_projects = False
    task = run(rule, quick=True)
    assert task.unchanged == REPOSITORIES * TAGS
    assert of_project(near) == 1
    assert len(near.received("GET", f"{API}/projects/{PROJECT}/repositories/")) == REPOSITORIES


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_worker_that_is_to_leave_while_it_lists_leaves_and_another_turn_goes_on(side, rule, near, far):
    harbor = near if side == "source" else far
    hangs = f"{API}/projects/{PROJECT}/artifacts?page=9&"
    harbor.script("GET", hangs, Answer(wait=True), harbor._api)
    task, began = open_here(rule, quick=True), monotonic()
    run_slice(task, leaving=lambda: bool(harbor.received("GET", hangs)))
    assert monotonic() - began < 8
    while run_slice(task, seconds=float("inf")):
        pass
    task.refresh_from_db()
    assert task.unchanged == REPOSITORIES * TAGS
    # The first page tells how many there are; and those that were under way are asked for again.
    assert of_project(harbor) <= PAGES + 1 + PAGES_AT_ONCE
