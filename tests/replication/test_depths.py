"""What goes on and on: it ends, and fails alone."""

import pytest

from demo import artifacts
from demo.artifacts import Artifact
from tests.fakes.referrers import ReferrersRelay
from tests.replication.support import lacking, nested_index, push, replicate, sign, some_image, some_index
from tests.replication.test_referrers_api import attach

DEEPEST = 8


def chain(url: str, repository: str, subject: Artifact, length: int, *, api: bool) -> list[Artifact]:
    """Something that refers to the subject, something that refers to that, and so on."""
    links = [subject]
    for _ in range(length):
        links.append((attach if api else sign)(url, repository, links[-1]))
    return links


@pytest.mark.parametrize("api", [False, True], ids=["fallback tag", "API"])
@pytest.mark.parametrize("length", [DEEPEST + 1, DEEPEST + 2])
def test_referrers_of_referrers_come_along_to_a_depth(length, api, source, target, namespace, judge):
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_, ReferrersRelay(target) as to:
        links = chain(from_.url if api else source, name, push(source, name, "v1", some_image()), length, api=api)
        push(source, name, "v2", some_image())
        url = from_.url if api else source
        ran = replicate(url, to.url if api else target, source_namespace=namespace)
    assert ran.outcomes[f"{name}:v2"] == "copied"
    if length <= DEEPEST + 1:
        assert ran.outcomes[f"{name}:v1"] == "copied"
        assert [lacking(target, name, link) for link in links] == [[]] * len(links)
    else:
        assert "refer to each other more than 8 deep" in str(ran.error(f"{name}:v1"))
        assert judge.digest(target, f"{name}:v1") == ""


@pytest.mark.parametrize("make", [some_index, nested_index])
def test_more_manifests_than_one_tag_may_have_fail_alone(make, source, target, namespace, judge, monkeypatch):
    name = f"{namespace}/web"
    monkeypatch.setattr("sync.replication.transfer.MAX_MANIFESTS", 2)
    push(source, name, "many", make())
    push(source, name, "v1", some_image())
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:many": "failed"}
    error = ran.error(f"{name}:many")
    assert (error.side, error.retryable) == ("source", False)
    assert "more than 2 manifests hang on one tag" in str(error)
    assert judge.digest(target, f"{name}:many") == ""


def test_an_index_of_very_many_children_arrives(source, target, namespace, judge):
    name = f"{namespace}/web"
    children = [some_image(f"linux/a{number}", layers=0) for number in range(120)]
    index = push(source, name, "v1", artifacts.index(children))
    ran = replicate(source, target, source_namespace=namespace, repositories="web")
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert judge.raw(target, f"{name}:v1") == index.body
    assert lacking(target, name, index) == []
