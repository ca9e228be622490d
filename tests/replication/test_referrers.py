"""Signatures, SBOMs and attestations travel with what they describe. docker-registry has no Referrers API."""

import json
from collections.abc import Callable

import pytest

from demo import artifacts
from demo.artifacts import fallback_tag
from sync.replication.whereabouts import Hints
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, replicate, sign
from tests.support import Relay


def listed(judge, url, repository, subject):
    """The digests that the fallback tag of a subject lists."""
    body = judge.raw(url, f"{repository}:{fallback_tag(subject)}")
    return {entry["digest"] for entry in json.loads(body)["manifests"]} if body else set()


def test_the_signature_of_an_image_arrives_as_it_is(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    signature = sign(source, name, image)
    assert replicate(source, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert judge.raw(target, f"{name}@{signature.digest}") == signature.body
    tag = f"{name}:{fallback_tag(image)}"
    assert judge.raw(target, tag) == judge.raw(source, tag) != b""


def test_a_signature_is_written_after_what_it_signs_and_before_the_tag(source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    signature = sign(source, name, image)
    with Relay(target) as relay:
        replicate(source, relay.url, source_namespace=namespace)
        written = [one.target.rpartition("/")[2] for one in relay.received("PUT") if "/manifests/" in one.target]
    assert written == [image.digest, signature.digest, fallback_tag(image), "v1"]


@pytest.mark.parametrize("make", [support.some_index, support.nested_index], ids=["index", "nested"])
def test_the_signature_of_an_indexs_child_arrives(make, source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", make())
    child = index
    while child.children:
        child = child.children[0]
    signature = sign(source, name, child)
    replicate(source, target, source_namespace=namespace)
    assert listed(judge, target, name, child) == {signature.digest}


def test_the_signature_of_an_sbom_arrives(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    sbom = sign(source, name, image)
    signature = sign(source, name, sbom)
    replicate(source, target, source_namespace=namespace)
    assert listed(judge, target, name, image) == {sbom.digest}
    assert listed(judge, target, name, sbom) == {signature.digest}
    assert judge.digest(target, f"{name}@{signature.digest}") == signature.digest


@pytest.mark.parametrize("kind", ["sig", "att", "sbom"])
def test_cosigns_digest_tags_arrive_though_no_expression_matches_them(kind, source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    stranger = push(source, name, "nightly", support.some_image())
    for subject in (image, stranger):
        push(source, name, f"{fallback_tag(subject)}.{kind}", support.other())
    replicate(source, target, source_namespace=namespace, tags="v.*")
    tag = f"{name}:{fallback_tag(image)}.{kind}"
    assert judge.digest(target, tag) == judge.digest(source, tag) != ""
    assert judge.digest(target, f"{name}:{fallback_tag(stranger)}.{kind}") == ""


@pytest.mark.parametrize("before", [False, True])
def test_a_signature_of_what_a_cosign_tag_holds_arrives(before, source, target, namespace, judge):
    """Also where an earlier run has brought that already."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    sbom = push(source, name, f"{fallback_tag(image)}.sbom", support.other())
    if before:
        replicate(source, target, source_namespace=namespace)
    signature = push(source, name, f"{fallback_tag(sbom)}.sig", support.other())
    assert replicate(source, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert judge.digest(target, f"{name}:{fallback_tag(image)}.sbom") == sbom.digest
    assert judge.digest(target, f"{name}:{fallback_tag(sbom)}.sig") == signature.digest


def test_a_cosign_tag_that_leads_back_to_itself_ends(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    tag = f"{fallback_tag(image)}.sig"
    push(source, name, tag, image)
    assert replicate(source, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert judge.digest(target, f"{name}:{tag}") == image.digest


@pytest.mark.parametrize("make", [support.some_image, support.some_index, support.nested_index])
def test_a_signature_that_comes_after_the_copy_is_brought_by_the_next_run(make, source, target, namespace, judge):
    name = f"{namespace}/web"
    artifact = push(source, name, "v1", make())
    subject = artifact
    while subject.children:
        subject = subject.children[0]
    replicate(source, target, source_namespace=namespace)
    signature = sign(source, name, subject)
    assert replicate(source, target, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
    assert listed(judge, target, name, subject) == {signature.digest}
    assert replicate(source, target, source_namespace=namespace).outcomes == {f"{name}:v1": "unchanged"}


def test_signatures_of_both_sides_are_merged(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = support.some_image()
    for url in (source, target):
        push(url, name, "v1", image)
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.body)}
    first, second = (push(target, name, "", support.other(empty_config=True, subject=subject)) for _ in range(2))
    push(target, name, fallback_tag(image), artifacts.index([first, second]))
    ours = sign(source, name, image)
    replicate(source, target, source_namespace=namespace)
    assert listed(judge, target, name, image) == {first.digest, second.digest, ours.digest}


class _Busy(Hints):
    """Another worker writes the index first: `write` is what it does when we have asked twice for our turn."""

    def __init__(self, write: Callable[[], object]) -> None:
        super().__init__()
        self.log: list[str] = []
        self._write = write

    def claim(self, digest: str) -> bool:
        if digest.startswith("sha256:"):
            return True
        self.log.append(f"asked {digest}")
        if len(self.log) == 2:
            self._write()
        return len(self.log) > 2

    def give_up(self, digest: str) -> None:
        self.log.append(f"given up {digest}")


def test_two_workers_write_the_index_of_one_image_in_turns(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    ours = sign(source, name, image)
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.body)}
    theirs = support.other(empty_config=True, subject=subject)

    def write() -> None:
        push(target, name, "", theirs)
        push(target, name, fallback_tag(image), artifacts.index([theirs]))

    busy = _Busy(write)
    replicate(source, target, source_namespace=namespace, hints=busy)
    assert listed(judge, target, name, image) == {theirs.digest, ours.digest}
    turn = f"{name}:{fallback_tag(image)}"
    assert busy.log == [f"asked {turn}"] * 3 + [f"given up {turn}"]


def test_a_rule_can_leave_signatures_where_they_are(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    signature = sign(source, name, image)
    replicate(source, target, source_namespace=namespace, with_referrers=False)
    assert judge.digest(target, f"{name}:v1") == image.digest
    assert listed(judge, target, name, image) == set()
    assert judge.digest(target, f"{name}@{signature.digest}") == ""


def test_a_cosign_tag_of_the_target_is_kept_unless_overwriting_is_on(source, target, namespace, judge):
    name = f"{namespace}/web"
    image = support.some_image()
    tag = f"{fallback_tag(image)}.sig"
    theirs, ours = support.other(), support.other()
    for url, attached in ((source, ours), (target, theirs)):
        push(url, name, "v1", image)
        push(url, name, tag, attached)
    replicate(source, target, source_namespace=namespace)
    assert judge.digest(target, f"{name}:{tag}") == theirs.digest
    replicate(source, target, source_namespace=namespace, overwrite=True)
    assert judge.digest(target, f"{name}:{tag}") == ours.digest


def test_referrers_told_by_the_api_are_findable_at_a_target_without_it(source, target, namespace, judge):
    """The source has the Referrers API and no fallback tag; the real target needs the tag."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    signature = push(source, name, "", artifacts.signature(image))
    with Relay(source) as relay:
        empty, full = artifacts.index([]), artifacts.index([signature])
        relay.script("GET", f"/v2/{name}/referrers/", Answer(200, {"Content-Type": full.media_type}, empty.body))
        relay.script(
            "GET", f"/v2/{name}/referrers/{image.digest}", Answer(200, {"Content-Type": full.media_type}, full.body)
        )
        replicate(relay.url, target, source_namespace=namespace)
    assert listed(judge, target, name, image) == {signature.digest}
    assert judge.digest(target, f"{name}@{signature.digest}") == signature.digest
