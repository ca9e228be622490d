"""Rules into Harbor and out of it: missing projects, quick checks, deletions."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Barrier

import pytest

from demo import artifacts
from sync.registries import Registry
from sync.replication.events import Outcome, ResourceDone, Tick
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.fakes.harbor import API, Account, FakeHarbor
from tests.kinds.harbor_stage import ROBOT, HarborStage, text_image
from tests.replication.support import Ran, spec

pytestmark = pytest.mark.usefixtures("quick_backoff")


@pytest.fixture
def near():
    with HarborStage() as stage:
        yield stage


@pytest.fixture
def far():
    with HarborStage() as stage:
        yield stage


def bring(source: Registry, target: Registry, works: Iterable[RepositoryWork], **rule: object) -> Ran:
    run = Replication(source, target, spec(**rule), threading.Event(), Limits(), Hints())
    left = iter(works)
    events = run.run(lambda most: list(islice(left, most)), lambda: False)
    return Ran([event for event in events if not isinstance(event, Tick)])


def created(fake: FakeHarbor) -> int:
    return fake.answered["POST", 201]


def test_a_rule_makes_its_project_private_and_once(near, far):
    names = [f"prod/team/app-{number}" for number in range(6)]
    for name in names:
        near.hold(name, "v1", name)
    ran = bring(near.open("source"), far.open("target"), map(RepositoryWork, names), target_namespace="fresh")
    assert set(ran.outcomes.values()) == {"copied"}
    assert far.is_private("fresh")
    assert created(far.fake) == 1
    assert far.fake.held["fresh/team/app-0"].tags == near.fake.held["prod/team/app-0"].tags


def test_to_the_top_level_each_name_brings_its_project(near, far):
    """Harbor keeps nothing outside of a project: what has a part for one arrives, what has none says so."""
    for name in ("prod/a/web", "prod/a/api", "prod/b/web", "prod/alone"):
        near.hold(name, "v1", name)
    works = map(RepositoryWork, ("prod/a/web", "prod/a/api", "prod/b/web", "prod/alone"))
    ran = bring(near.open("source"), far.open("target"), works, target_namespace="/")
    failed = {"prod/alone:v1": "failed"}
    assert ran.outcomes == dict.fromkeys(("prod/a/web:v1", "prod/a/api:v1", "prod/b/web:v1"), "copied") | failed
    assert far.is_private("a") and far.is_private("b") and created(far.fake) == 2
    assert "outside of a project" in str(ran.error("prod/alone:v1"))


def test_two_rules_that_need_the_same_project_at_the_same_moment(near, far):
    for name in ("prod/a", "prod/b"):
        near.hold(name, "v1", name)
    together = Barrier(2)

    def absent(request):
        answer = far.fake._api(request)
        together.wait(10)
        return answer

    far.fake.script("HEAD", f"{API}/projects", absent)

    def one(name: str) -> Ran:
        return bring(near.open("source"), far.open("target"), [RepositoryWork(name)], target_namespace="fresh")

    with ThreadPoolExecutor(2) as pool:
        outcomes = [ran.outcomes for ran in pool.map(one, ("prod/a", "prod/b"))]
    assert outcomes == [{"prod/a:v1": "copied"}, {"prod/b:v1": "copied"}]
    assert (created(far.fake), far.fake.answered["POST", 409]) == (1, 1)


def test_a_proxy_cache_gets_no_bytes(near, far):
    near.hold("prod/web", "v1", "one")
    far.fake.make("cache", registry_id=2)
    ran = bring(near.open("source"), far.open("target"), [RepositoryWork("prod/web")], target_namespace="cache")
    assert "proxy cache" in str(ran.error("prod/web:v1"))
    assert ran.moved_bytes == 0
    assert [one for one in far.fake.requests if one.method in ("POST", "PUT", "PATCH")] == []


def test_a_robot_that_may_make_no_project_fails_with_the_permission(near, far):
    near.hold("prod/web", "v1", "one")
    may = far.fake.accounts[ROBOT].may - {"create project"}
    far.fake.accounts[ROBOT] = Account(far.fake.accounts[ROBOT].secret, may)
    ran = bring(near.open("source"), far.open("target"), [RepositoryWork("prod/web")], target_namespace="fresh")
    error = ran.error("prod/web:v1")
    assert (error.side, error.status) == ("target", 403)
    assert "Project: Create" in error.hint


def test_a_quick_check_asks_for_no_single_tag(near, far):
    """What is known and listed alike is done; what is new, or newer, is looked at."""
    for side in (near, far):
        for number in range(40):
            side.hold("prod/web", f"v{number}", str(number))
    known = dict(far.fake.held["prod/web"].tags)
    moved = near.hold("prod/web", "v7", "newer")
    near.hold("prod/web", "v40", "new")
    work = RepositoryWork("prod/web", verified=known, trusted=known.keys())
    ran = bring(near.open("source"), far.open("target"), [work], overwrite=True)
    outcomes = ran.outcomes
    assert (outcomes.pop("prod/web:v7"), outcomes.pop("prod/web:v40")) == ("copied", "copied")
    assert set(outcomes.values()) == {"unchanged"}
    assert far.fake.held["prod/web"].tags["v7"] == moved
    heads = near.fake.received("HEAD", "/v2/prod/web/manifests/")
    assert {one.target.rpartition("/")[2] for one in heads} <= {"v7", "v40"}
    assert len(near.fake.received("GET", f"{API}/projects/prod/repositories/web/artifacts")) == 1
    assert far.fake.received("GET", "/v2/prod/web/tags/") == [], "that asks for a token first"


def test_deletions_one_by_one_keep_other_tags_of_the_digest(near, far):
    near.hold("prod/web", "v2", "two")
    for tag, text in (("v1", "one"), ("stable", "one"), ("v2", "two"), ("old", "old")):
        far.hold("prod/web", tag, text)
    far.fake.projects["prod"].immutable.add("old")
    there = dict(far.fake.held["prod/web"].tags)
    removing = {tag: there[tag] for tag in ("v1", "old", "v2")}
    ran = bring(near.open("source"), far.open("target"), [RepositoryWork("prod/web", removing=removing)])
    done = {event.tag: event for event in ran.events if isinstance(event, ResourceDone)}
    assert {tag: one.outcome for tag, one in done.items()} == {"v1": Outcome.REMOVED, "old": Outcome.FAILED}
    assert done["old"].error is not None and "Tag Immutability" in done["old"].error.hint
    assert sorted(far.fake.held["prod/web"].tags) == ["old", "stable", "v2"]
    assert far.fake.received("DELETE", "/v2/") == []


def test_a_repository_that_is_gone_from_the_source_is_gone(near, far):
    """Harbor's own word for it is understood: else nothing would be sure enough to be deleted."""
    near.hold("prod/other", "v1", "one")
    digest = far.hold("prod/web", "v1", "one")
    work = RepositoryWork("prod/web", removing={"v1": digest})
    ran = bring(near.open("source"), far.open("target"), [work])
    assert ran.outcomes == {"prod/web:v1": "removed"}
    assert far.fake.held["prod/web"].tags == {}


@pytest.mark.parametrize("how", ["by tag", "by reference"])
def test_a_quick_check_brings_signatures_that_came_later(how, near, far):
    image = text_image("one")
    for side in (near, far):
        for tag, text in (("v1", "one"), ("v2", "two")):
            side.hold("prod/web", tag, text)
    signature, known = artifacts.signature(image), dict(far.fake.held["prod/web"].tags)
    near.fake.held["prod/web"].blobs |= {blob.digest: blob.data for blob in signature.blobs}
    tag = f"{artifacts.fallback_tag(image)}.sig" if how == "by tag" else signature.digest
    near.fake.put("prod/web", tag, signature.media_type, signature.body)
    work = RepositoryWork("prod/web", verified=known, trusted=known.keys())
    ran = bring(near.open("source"), far.open("target"), [work])
    assert ran.outcomes == {"prod/web:v1": "copied", "prod/web:v2": "unchanged"}
    assert signature.digest in far.fake.held["prod/web"].manifests
    assert far.fake.held["prod/web"].tags.keys() == near.fake.held["prod/web"].tags.keys()
    assert [one.target.rpartition("/")[2] for one in near.fake.received("HEAD", "/v2/prod/web/manifests/v")] == ["v1"]
