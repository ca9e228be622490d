"""Signatures, SBOMs and attestations where the registries have the Referrers API, on either side or on both."""

import json

import pytest
import requests

from demo import artifacts
from demo.artifacts import OCI_INDEX, Artifact, fallback_tag
from sync.replication.work import Limits
from tests.fakes.referrers import ReferrersRelay
from tests.fakes.registry import Answer
from tests.replication.support import lacking, made, nested_index, other, push, replicate, sign, some_image, some_index
from tests.support import Relay


def descriptor(artifact: Artifact) -> dict[str, object]:
    return {"mediaType": artifact.media_type, "digest": artifact.digest, "size": len(artifact.body)}


def attach(url: str, repository: str, subject: Artifact) -> Artifact:
    """Pushes an artifact that refers to the subject; the registry takes note by itself."""
    return push(url, repository, "", other(empty_config=True, subject=descriptor(subject)))


def listed(relay: ReferrersRelay, subject: Artifact) -> set[str]:
    return {entry["digest"] for entry in relay.listed[subject.digest]}


def listed_by_tag(judge, url: str, repository: str, subject: Artifact) -> set[str]:
    body = judge.raw(url, f"{repository}:{fallback_tag(subject)}")
    return {entry["digest"] for entry in json.loads(body)["manifests"]} if body else set()


SUBJECTS = {
    "an image": (some_image, lambda root: root),
    "an index": (some_index, lambda root: root),
    "a child": (some_index, lambda root: root.children[1]),
    "an index within": (nested_index, lambda root: root.children[0]),
    "a child of an index within": (nested_index, lambda root: root.children[0].children[1]),
}


@pytest.mark.parametrize("api", ["both", "source", "target"])
@pytest.mark.parametrize("what", SUBJECTS)
def test_what_refers_to_it_can_be_found_in_the_target(what, api, source, target, namespace, judge):
    """By the API or, where there is none, by the fallback tag; nested: the signature of an SBOM."""
    make, pick = SUBJECTS[what]
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_, ReferrersRelay(target) as to:
        root = push(source, name, "v1", make())
        subject = pick(root)
        if api == "target":
            sbom = sign(source, name, subject)
            signature = sign(source, name, sbom)
        else:
            sbom = attach(from_.url, name, subject)
            signature = attach(from_.url, name, sbom)
        ran = replicate(
            source if api == "target" else from_.url, target if api == "source" else to.url, source_namespace=namespace
        )
        assert ran.outcomes == {f"{name}:v1": "copied"}
        if api == "source":
            assert listed_by_tag(judge, target, name, subject) == {sbom.digest}
            assert listed_by_tag(judge, target, name, sbom) == {signature.digest}
        else:
            assert (listed(to, subject), listed(to, sbom)) == ({sbom.digest}, {signature.digest})
            assert listed_by_tag(judge, target, name, subject) == set()
    assert [lacking(target, name, one) for one in (root, sbom, signature)] == [[], [], []]


@pytest.mark.parametrize("api", [False, True], ids=["fallback tag", "API"])
def test_a_signature_that_comes_later_is_brought_by_the_next_run(api, source, target, namespace, judge):
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_, Relay(target) as to:
        index = push(source, name, "v1", some_index())
        url = from_.url if api else source
        replicate(url, to.url, source_namespace=namespace)
        for signed in (index, index.children[0]):
            late = attach(from_.url, name, signed) if api else sign(source, name, signed)
            assert replicate(url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
            assert replicate(url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "unchanged"}
            assert listed_by_tag(judge, target, name, signed) == {late.digest}


@pytest.mark.parametrize(
    "answer",
    [*map(Answer, (400, 401, 403, 404, 405, 406)), Answer(200, {"Content-Type": "text/html"}, b"<html>")],
    ids=["400", "401", "403", "404", "405", "406", "a web page"],
)
def test_where_the_api_is_not_there_the_tag_serves_and_the_api_is_asked_once(answer, source, target, namespace, judge):
    name = f"{namespace}/web"
    images = [push(source, name, f"v{number}", some_image()) for number in range(4)]
    signatures = [sign(source, name, image) for image in images]
    with Relay(source) as from_, Relay(target) as to:
        for relay in (from_, to):
            relay.script("GET", f"/v2/{name}/referrers/", answer)
        replicate(from_.url, to.url, source_namespace=namespace, limits=Limits(calls_at_once=1))
        for relay in (from_, to):
            assert len(relay.received("GET", f"/v2/{name}/referrers/")) == 1
    found = [listed_by_tag(judge, target, name, image) for image in images]
    assert found == [{signature.digest} for signature in signatures]


def test_two_signatures_that_come_at_once_are_both_found(source, target, namespace, judge):
    """Two tags of one image, each with what it takes to bring: one fallback index in the end (P-59)."""
    name = f"{namespace}/web"
    image = some_image()
    with ReferrersRelay(source) as relay:
        for tag in ("v1", "v2", "v3"):
            push(source, name, tag, image)
        attached = {attach(relay.url, name, image).digest for _ in range(5)}
        ran = replicate(relay.url, target, source_namespace=namespace)
    assert set(ran.outcomes.values()) == {"copied"}
    assert listed_by_tag(judge, target, name, image) == attached


def test_many_referrers_come_page_by_page(source, target, namespace):
    name = f"{namespace}/web"
    with ReferrersRelay(source, page=7) as from_, ReferrersRelay(target) as to:
        image = push(source, name, "v1", some_image())
        attached = {attach(from_.url, name, image).digest for _ in range(18)}
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert listed(to, image) == attached


def test_a_circle_of_referrers_ends(source, target, namespace):
    """No honest registry lists one: a digest cannot be known before its content."""
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_, ReferrersRelay(target) as to:
        image = push(source, name, "v1", some_image())
        first = attach(from_.url, name, image)
        second = attach(from_.url, name, first)
        from_.listed[second.digest] = from_.listed[image.digest] + from_.listed[first.digest]
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, first) + lacking(target, name, second) == []


def test_an_index_that_refers_to_an_image_comes_with_its_children(source, target, namespace):
    """One attestation for each platform, bound together."""
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_, ReferrersRelay(target) as to:
        image = push(source, name, "v1", some_image())
        parts = [other(empty_config=True) for _ in range(2)]
        body = {
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(part) for part in parts],
            "subject": descriptor(image), "artifactType": "application/vnd.example.bundle",
        }  # fmt: skip
        bundle = push(from_.url, name, "", made(body, children=parts, media_type=OCI_INDEX))
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert listed(to, image) == {bundle.digest}
    assert lacking(target, name, bundle) == []


def test_a_referrer_that_is_lost_is_named(source, target, namespace, judge):
    name = f"{namespace}/web"
    with ReferrersRelay(source) as relay:
        image = push(source, name, "v1", some_image())
        lost = attach(relay.url, name, image)
        relay.script("GET", f"/v2/{name}/manifests/{lost.digest}", Answer(404))
        push(source, name, "v2", some_image())
        ran = replicate(relay.url, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "failed", f"{name}:v2": "copied"}
    assert lost.digest in str(ran.error(f"{name}:v1"))
    assert judge.digest(target, f"{name}:v1") == ""


@pytest.mark.parametrize("kind", ["sig", "att", "sbom"])
@pytest.mark.parametrize("what", ["a child", "an SBOM"])
def test_cosigns_tags_of_children_and_of_referrers_come_along(what, kind, source, target, namespace, judge):
    """A cosign signature of an SBOM that the API tells, of a platform of an index."""
    name = f"{namespace}/web"
    with ReferrersRelay(source) as relay:
        index = push(source, name, "v1", some_index())
        subject = index.children[0] if what == "a child" else attach(relay.url, name, index)
        tag = f"{fallback_tag(subject)}.{kind}"
        signature = push(source, name, tag, other())
        assert replicate(relay.url, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert judge.digest(target, f"{name}:{tag}") == signature.digest


def test_signatures_are_found_without_listing_again(source, target, namespace):
    """One listing for a repository, however many tags and signatures it has (P-61)."""
    name = f"{namespace}/web"
    for number in range(5):
        sign(source, name, push(source, name, f"v{number}", some_image()))
    with Relay(source) as relay:
        replicate(relay.url, target, source_namespace=namespace)
        assert len(relay.received("GET", f"/v2/{name}/tags/list")) == 1


def test_children_and_index_each_with_a_signature(source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    signed = [index, *index.children]
    signatures = [sign(source, name, one) for one in signed]
    artifacts_there = [*signatures, index]
    replicate(source, target, source_namespace=namespace)
    assert [listed_by_tag(judge, target, name, one) for one in signed] == [{one.digest} for one in signatures]
    assert [lacking(target, name, one) for one in artifacts_there] == [[]] * len(artifacts_there)
    assert artifacts.digest_of(judge.raw(target, f"{name}:v1")) == index.digest


@pytest.mark.parametrize("by_api", [False, True])
def test_what_refers_below_an_index_that_two_tags_share_arrives_though_the_first_one_fails(
    by_api, source, target, namespace, judge
):
    name = f"{namespace}/web"
    with ReferrersRelay(source) as from_:
        url = from_.url if by_api else source
        nested, broken = some_index(), some_image()
        push(source, name, "a", artifacts.index([nested, broken]))
        push(source, name, "b", artifacts.index([nested]))
        signed = nested.children[0]
        signature = attach(url, name, signed) if by_api else sign(source, name, signed)
        requests.delete(f"{source}/v2/{name}/manifests/{broken.digest}", timeout=10).raise_for_status()
        ran = replicate(url, target, source_namespace=namespace, limits=Limits(calls_at_once=1))
    assert ran.outcomes == {f"{name}:a": "failed", f"{name}:b": "copied"}
    listed = judge.raw(target, f"{name}:{fallback_tag(signed)}")
    assert signature.digest in str(listed)
