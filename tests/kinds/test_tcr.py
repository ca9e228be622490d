"""TCR Enterprise: what its management API is asked for, against a server of the documented shapes."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from sync.oci.list_api import Bookmark
from sync.registries import OnlyByDigest, kind_of_host
from sync.registries.tcr import _moment
from tests.kinds.tcr_stage import TcrStage

pytestmark = pytest.mark.usefixtures("quick_backoff")


@pytest.fixture(scope="module")
def standing() -> Iterator[TcrStage]:
    with TcrStage() as stage:
        yield stage


@pytest.fixture
def stage(standing: TcrStage, namespace: str) -> Iterator[TcrStage]:
    """One registry for all tests of this file: each has a namespace of its own, of which alone TCR knows."""
    standing.fake.forget()
    yield standing
    standing.fake.forget()


def always() -> None:
    pass


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("name.tencentcloudcr.com", "tcr"),
        ("name-vpc.tencentcloudcr.com", "tcr"),
        ("tencentcloudcr.com.example", ""),
        ("ccr.ccs.tencentyun.com", ""),
    ],
)
def test_the_host_tells_the_kind(host, kind):
    assert kind_of_host(host) == kind


def test_the_sdk_is_not_loaded_before_it_is_needed():
    program = "import sync.registries, sys; sys.exit(any(name.startswith('tencentcloud') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_a_secret_id_it_is_a_plain_registry(stage, namespace):
    stage.add(f"{namespace}/web", "v1", "a")
    registry = stage.open(management=None)
    assert registry.namespaces()[namespace] == 1
    assert list(registry.repositories(namespace)) == [f"{namespace}/web"]
    assert registry.digests(f"{namespace}/web") is None
    assert [one.tag for one in registry.resources(f"{namespace}/web")] == ["v1"]
    registry.ensure_namespace("missing")
    with pytest.raises(OnlyByDigest):
        registry.delete_tag(f"{namespace}/web", "v1", always)
    assert stage.fake.asked.total() == 0
    assert "missing" not in stage.fake.namespaces


# namespaces


@pytest.mark.parametrize("first_page", [0, 1])
def test_namespaces_come_in_pages_with_their_repositories(first_page, stage, namespace):
    stage.fake.first_page, stage.fake.page = first_page, 2
    for name in ("web", "team/api", "team/jobs"):
        stage.add(f"{namespace}/{name}", "v1", "a")
    stage.fake.namespaces |= {f"{namespace}-{number}": True for number in range(4)}
    listed = stage.open().namespaces()
    empty = {f"{namespace}-{number}": 0 for number in range(4)}
    assert listed == {namespace: 3, f"{namespace}/team": 2, **empty}
    assert list(listed) == sorted(listed)


def test_of_very_many_repositories_only_the_number_is_asked_for(stage, namespace):
    stage.fake.namespaces[namespace] = True
    stage.fake.totals["RepositoryList"] = 5000
    assert stage.open().namespaces() == {namespace: 5000}
    assert stage.fake.asked["DescribeRepositories"] == 2


def test_a_missing_namespace_is_made_private_and_once(stage, namespace):
    registry = stage.open("target")
    registry.ensure_namespace(f"{namespace}/team/deep")
    registry.ensure_namespace(namespace)
    assert stage.is_private(namespace)
    assert stage.fake.asked["CreateNamespace"] == 1


def test_a_namespace_of_a_longer_name_is_another_one(stage, namespace):
    stage.fake.namespaces[f"{namespace}-more"] = True
    stage.open().ensure_namespace(namespace)
    assert stage.is_private(namespace)


def test_one_that_exists_stays_as_it_is(stage, namespace):
    stage.fake.namespaces[namespace] = True
    stage.open().ensure_namespace(namespace)
    assert not stage.is_private(namespace)
    assert stage.fake.asked["CreateNamespace"] == 0


def test_two_may_make_it_at_the_same_moment(stage, namespace):
    stage.fake.meeting["DescribeNamespaces"] = threading.Barrier(2)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda registry: registry.ensure_namespace(namespace), [stage.open(), stage.open()]))
    assert stage.fake.asked["CreateNamespace"] == 2
    assert stage.is_private(namespace)


def test_one_that_was_made_although_the_answer_says_otherwise_is_fine(stage, namespace):
    stage.fake.refuse("CreateNamespace", "FailedOperation.OperationCancel")
    stage.fake.before["CreateNamespace"] = lambda: stage.fake.namespaces.setdefault(namespace, False)
    stage.open().ensure_namespace(namespace)
    assert stage.fake.asked["CreateNamespace"] == 1


def test_who_may_create_need_not_be_allowed_to_look(stage, namespace):
    stage.fake.refuse("DescribeNamespaces", "UnauthorizedOperation", always=True)
    stage.open().ensure_namespace(namespace)
    stage.open().ensure_namespace(namespace)
    assert stage.is_private(namespace)


# repositories and tags


def test_repositories_come_in_pages_and_from_deep_below(stage, namespace):
    stage.fake.page = 2
    names = [f"{namespace}/{name}" for name in ("a", "b", "team/c", "team/d", "team/e")]
    for name in names:
        stage.add(name, "v1", "a")
    registry = stage.open()
    assert list(registry.repositories(namespace)) == names
    assert list(registry.repositories(f"{namespace}/team")) == names[2:]
    assert stage.fake.asked["DescribeRepositories"] == 6
    assert list(registry.repositories("/")) == list(registry.repositories("missing")) == []


def test_names_may_be_listed_without_their_namespace(stage, namespace):
    stage.fake.short_names = True
    stage.add(f"{namespace}/web", "v1", "a")
    assert list(stage.open().repositories(namespace)) == [f"{namespace}/web"]


def test_a_list_is_gone_on_with(stage, namespace):
    for name in ("a", "b", "c"):
        stage.add(f"{namespace}/{name}", "v1", "a")
    mark = Bookmark()
    assert next(stage.open().repositories(namespace, mark)) == f"{namespace}/a"
    assert list(stage.open().repositories(namespace, mark)) == [f"{namespace}/b", f"{namespace}/c"]


def test_tags_come_in_pages_with_digests_and_times(stage, namespace):
    stage.fake.page = 2
    name = f"{namespace}/team/web"
    digests = {f"v{number}": stage.add(name, f"v{number}", str(number)) for number in range(5)}
    registry = stage.open()
    before = stage.fake.data.requests.copy()
    assert registry.digests(name) == digests
    listed = list(registry.resources(name))
    assert {one.tag: one.digest for one in listed} == digests
    assert {one.pushed_at for one in listed} == {datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)}
    assert stage.fake.data.requests == before
    assert stage.fake.asked["DescribeImages"] == 6


def test_what_is_pushed_meanwhile_hides_nothing(stage, namespace):
    """It moves others to the next page, and changes some that came already."""
    stage.fake.page = 2
    name = f"{namespace}/web"
    digests = {f"v{number}": stage.add(name, f"v{number}", str(number)) for number in range(4)}

    def push() -> None:
        if stage.fake.asked["DescribeImages"] == 2:
            digests["a"] = stage.add(name, "a", "a")
            stage.add(name, "v1", "another")

    stage.fake.before["DescribeImages"] = push
    listed = stage.open().digests(name)
    assert listed is not None
    assert {tag: digest for tag, digest in listed.items() if tag != "v1"} == {
        tag: digest for tag, digest in digests.items() if tag != "v1"
    }
    assert "v1" in listed


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-08-02 03:52:06.915755 +0000 UTC", datetime(2022, 8, 2, 3, 52, 6, tzinfo=UTC)),
        ("2022-08-02 11:52:06 +0800 CST", datetime(2022, 8, 2, 3, 52, 6, tzinfo=UTC)),
        ("2022-08-02T03:52:06.915Z", datetime(2022, 8, 2, 3, 52, 6, tzinfo=UTC)),
        ("2022-08-02T11:52:06+08:00", datetime(2022, 8, 2, 3, 52, 6, tzinfo=UTC)),
        ("2022-08-02 03:52:06", datetime(2022, 8, 2, 3, 52, 6, tzinfo=UTC)),
        ("2022-13-02 03:52:06", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(text, moment):
    assert _moment(text) == moment


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AuthFailure.UnauthorizedOperation"])
def test_where_digests_are_refused_the_api_is_asked_once(code, stage, namespace):
    stage.add(f"{namespace}/web", "v1", "a")
    stage.fake.refuse("DescribeImages", code, always=True)
    registry = stage.open()
    assert registry.digests(f"{namespace}/web") is None
    assert registry.digests(f"{namespace}/api") is None
    assert [one.tag for one in registry.resources(f"{namespace}/web")] == ["v1"]
    assert stage.fake.asked["DescribeImages"] == 1


def test_a_list_that_is_not_whole_is_not_gone_by(stage, namespace):
    stage.add(f"{namespace}/web", "v1", "a")
    stage.fake.totals["ImageInfoList"] = 2
    assert stage.open().digests(f"{namespace}/web") is None


def test_a_repository_that_is_not_there_is_left_to_the_registry(stage, namespace):
    stage.fake.namespaces[namespace] = True
    registry = stage.open()
    assert registry.digests(f"{namespace}/web") is None
    stage.add(f"{namespace}/web", "v1", "a")
    assert registry.digests(f"{namespace}/web") is not None


# deletions


def test_a_tag_is_deleted_alone(stage, namespace):
    name = f"{namespace}/web"
    stage.add(name, "v1", "a")
    kept = stage.add(name, "v2", "b")
    checks = []
    registry = stage.open("target")
    registry.delete_tag(name, "v1", lambda: checks.append(stage.fake.asked["DeleteImage"]))
    assert registry.digests(name) == {"v2": kept}
    assert checks == [0]


def test_a_tag_whose_digest_others_have_is_not_deleted(stage, namespace):
    name = f"{namespace}/web"
    digest = stage.add(name, "v1", "a")
    stage.add(name, "latest", "a")
    checks: list[bool] = []
    with pytest.raises(OnlyByDigest):
        stage.open().delete_tag(name, "v1", lambda: checks.append(True))
    assert checks == [True]
    assert stage.open().digests(name) == {"v1": digest, "latest": digest}
    assert stage.fake.asked["DeleteImage"] == 0


def test_nor_one_of_which_that_cannot_be_known(stage, namespace):
    stage.add(f"{namespace}/web", "v1", "a")
    stage.fake.refuse("DescribeImages", "UnauthorizedOperation", always=True)
    with pytest.raises(OnlyByDigest):
        stage.open().delete_tag(f"{namespace}/web", "v1", always)


@pytest.mark.parametrize("code", ["InternalError", "RequestLimitExceeded"])
def test_a_deletion_is_not_sent_again_against_the_will_of_who_asked(code, stage, namespace):
    stage.add(f"{namespace}/web", "v1", "a")
    stage.fake.refuse("DeleteImage", code, always=True)
    checks = iter([None])
    with pytest.raises(StopIteration):
        stage.open().delete_tag(f"{namespace}/web", "v1", lambda: next(checks))
    assert stage.fake.asked["DeleteImage"] == 1
