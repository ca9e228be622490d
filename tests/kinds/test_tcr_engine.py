"""TCR Enterprise under a run: namespaces on the way, quick checks without a question for each tag, deletions."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from sync.oci.client import Client, Endpoint
from sync.registries import PlainRegistry, Registry
from sync.replication.events import Tick
from sync.replication.plan import list_repositories
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.kinds.tcr_stage import TcrStage
from tests.replication.support import Ran, push, some_image, spec

pytestmark = pytest.mark.usefixtures("quick_backoff")


@pytest.fixture(scope="module")
def standing() -> Iterator[TcrStage]:
    with TcrStage() as stage:
        yield stage


@pytest.fixture
def stage(standing: TcrStage) -> Iterator[TcrStage]:
    standing.fake.forget()
    yield standing
    standing.fake.forget()


def plain(url: str, side: str) -> Registry:
    return PlainRegistry(Client(Endpoint(url, name=side), side=side))


def run(source: Registry, target: Registry, *work: RepositoryWork, **rule: object) -> Ran:
    wanted = spec(**rule)
    replication = Replication(source, target, wanted, threading.Event(), Limits(), Hints())
    taken = iter(work or [RepositoryWork(name) for name in list_repositories(source, wanted)])
    events = replication.run(lambda most: list(islice(taken, most)), lambda: False)
    return Ran([event for event in events if not isinstance(event, Tick)])


def test_a_rule_into_a_missing_namespace_makes_it_private_and_once(source, stage, namespace):
    for name in ("web", "api", "team/jobs"):
        push(source, f"{namespace}/{name}", "v1", some_image())
        push(source, f"{namespace}/{name}", "v2", some_image())
    ran = run(plain(source, "source"), stage.open("target"), source_namespace=namespace, target_namespace="made/deep")
    assert set(ran.outcomes.values()) == {"copied"}
    assert stage.fake.namespaces == {"made": False}
    assert stage.fake.asked["CreateNamespace"] == 1
    assert list(stage.open().repositories("made")) == [f"made/deep/{name}" for name in ("api", "team/jobs", "web")]


def test_two_tasks_may_need_it_at_the_same_moment(source, stage, namespace):
    stage.fake.meeting["DescribeNamespaces"] = threading.Barrier(2)
    for name in ("web", "api"):
        push(source, f"{namespace}/{name}", "v1", some_image())

    def task(name: str) -> Ran:
        rule = {"source_namespace": namespace, "target_namespace": f"both-{namespace}", "repositories": name}
        return run(plain(source, "source"), stage.open("target"), **rule)

    with ThreadPoolExecutor() as pool:
        outcomes = [ran.outcomes for ran in pool.map(task, ("web", "api"))]
    assert outcomes == [{f"{namespace}/web:v1": "copied"}, {f"{namespace}/api:v1": "copied"}]
    assert stage.is_private(f"both-{namespace}")


def test_a_namespace_that_may_not_be_made_fails_with_the_right_that_is_missing(source, stage, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    stage.fake.refuse("CreateNamespace", "UnauthorizedOperation", always=True)
    ran = run(plain(source, "source"), stage.open("target"), source_namespace=namespace)
    error = ran.error(f"{namespace}/web:v1")
    assert (error.side, error.code) == ("target", "UnauthorizedOperation")
    assert "tcr:CreateNamespace" in error.hint


def test_without_a_secret_id_the_refused_push_tells_what_to_do(source, stage, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    ran = run(plain(source, "source"), stage.open("target", management=None), source_namespace=namespace)
    assert "create it in the TCR console" in ran.error(f"{namespace}/web:v1").hint


def test_a_quick_check_asks_for_no_single_tag(target, stage, namespace):
    name = f"{namespace}/web"
    digests = {f"v{number}": stage.add(name, f"v{number}", str(number)) for number in range(150)}
    rule = {"source_namespace": namespace}
    assert set(run(stage.open("source"), plain(target, "target"), **rule).outcomes.values()) == {"copied"}
    work = RepositoryWork(name, verified=digests, trusted=frozenset(digests))
    pushed = stage.add(name, "v7", "another")
    before, asked = len(stage.fake.data.requests), stage.fake.asked["DescribeImages"]
    ran = run(stage.open("source"), plain(target, "target"), work, overwrite=True, **rule)
    assert ran.outcomes == {f"{name}:{tag}": "copied" if tag == "v7" else "unchanged" for tag in digests}
    assert stage.fake.asked["DescribeImages"] - asked == 2
    about = {one.target.rpartition("/")[2] for one in stage.fake.data.requests[before:] if "/manifests/" in one.target}
    assert about <= {"v7", pushed}


def test_what_is_gone_is_deleted_and_nothing_else(source, stage, namespace):
    name = f"{namespace}/web"
    push(source, name, "kept", some_image())
    digests = {tag: stage.add(name, tag, text) for tag, text in (("gone", "a"), ("shared", "b"), ("other", "b"))}
    doomed = {tag: digests[tag] for tag in ("gone", "shared")}
    work = RepositoryWork(name, removing=doomed, doomed={digest: {tag} for tag, digest in doomed.items()})
    ran = run(plain(source, "source"), stage.open("target"), work, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:gone": "removed", f"{name}:shared": "failed"}
    assert "other would go with it" in str(ran.error(f"{name}:shared"))
    assert stage.open().digests(name) == {"shared": digests["shared"], "other": digests["other"]}
    assert stage.fake.asked["DeleteImage"] == 1


def test_a_deletion_without_an_answer_is_looked_at_again_first(source, stage, namespace):
    name = f"{namespace}/web"
    push(source, name, "kept", some_image())
    digest = stage.add(name, "gone", "a")
    stage.fake.refuse("DeleteImage", "InternalError")
    stage.fake.before["DeleteImage"] = lambda: stage.add(name, "gone", "pushed meanwhile")
    work = RepositoryWork(name, removing={"gone": digest}, doomed={digest: {"gone"}})
    run(plain(source, "source"), stage.open("target"), work, source_namespace=namespace)
    assert "gone" in (stage.open().digests(name) or {})
    assert stage.fake.asked["DeleteImage"] == 1
