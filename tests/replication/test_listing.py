"""What lists tell, and what has changed by the time it is copied."""

import json
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from demo import artifacts
from sync.oci.client import Client, Endpoint
from sync.oci.errors import OciError
from sync.replication.plan import list_tags
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.replication.support import (
    lacking,
    nested_index,
    push,
    replicate,
    sign,
    some_image,
    some_index,
    some_layer,
    spec,
)
from tests.support import Relay


def test_a_repository_that_lost_its_tags_is_nothing_to_do(source, target, namespace):
    """The real registry keeps it in its catalog and answers `tags: null`."""
    gone = push(source, f"{namespace}/empty", "v1", some_image())
    requests.delete(f"{source}/v2/{namespace}/empty/manifests/{gone.digest}", timeout=10).raise_for_status()
    assert requests.get(f"{source}/v2/{namespace}/empty/tags/list", timeout=10).json()["tags"] is None
    push(source, f"{namespace}/web", "v1", some_image())
    ran = replicate(source, target, source_namespace=namespace)
    assert ran.outcomes == {f"{namespace}/web:v1": "copied"}


@pytest.mark.parametrize("body", [b'{"tags":null}', b'{"name":"web"}', b'{"tags":[]}'])
def test_lists_without_tags(body, source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/web/tags/list", Answer(body=body))
        assert replicate(relay.url, target, source_namespace=namespace).outcomes == {}


def test_one_digest_under_many_tags_is_brought_once(source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v0", some_index())
    tags = [f"v{number}" for number in range(12)]
    for tag in tags:
        push(source, name, tag, index)
    with Relay(target) as relay:
        ran = replicate(source, relay.url, source_namespace=namespace)
        written = [one.target.rpartition("/")[2] for one in relay.received("PUT") if "/manifests/" in one.target]
        assert len(relay.received("POST")) == len({blob.digest for child in index.children for blob in child.blobs})
    assert ran.outcomes == {f"{name}:{tag}": "copied" for tag in tags}
    assert sorted(written) == sorted([*tags, *(child.digest for child in index.children)])
    assert {judge.digest(target, f"{name}:{tag}") for tag in tags} == {index.digest}


@pytest.mark.parametrize("there", [False, True], ids=["new in the target", "known to the target"])
@pytest.mark.parametrize("status", [404, 403, 401])
def test_a_tag_that_vanishes_or_is_closed_after_the_listing(status, there, source, target, namespace):
    name = f"{namespace}/web"
    for tag in ("gone", "v1"):
        push(source, name, tag, some_image())
    if there:
        push(target, name, "gone", some_image())
    with Relay(source) as relay:
        for method in ("HEAD", "GET"):
            relay.script(method, f"/v2/{name}/manifests/gone", Answer(status))
        ran = replicate(relay.url, target, source_namespace=namespace, overwrite=True)
    if status == 404:
        assert (ran.outcomes, ran.vanished) == ({f"{name}:v1": "copied"}, ["gone"])
    else:
        assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:gone": "failed"}
        assert (ran.error(f"{name}:gone").side, ran.error(f"{name}:gone").status) == ("source", status)


def test_a_tag_that_vanishes_between_the_look_at_it_and_its_manifest(source, target, namespace, judge):
    name = f"{namespace}/web"
    gone = push(source, name, "gone", some_image())
    push(source, name, "v1", some_image())
    theirs = push(target, name, "gone", some_image())
    with Relay(source) as relay:
        relay.script("HEAD", f"/v2/{name}/manifests/gone", relay.forward, Answer(404))
        for reference in ("gone", gone.digest):
            relay.script("GET", f"/v2/{name}/manifests/{reference}", Answer(404))
        ran = replicate(relay.url, target, source_namespace=namespace, overwrite=True)
    assert (ran.outcomes, ran.vanished) == ({f"{name}:v1": "copied"}, ["gone"])
    assert judge.digest(target, f"{name}:gone") == theirs.digest


@pytest.mark.parametrize("make", [some_image, some_index, nested_index])
def test_a_tag_that_moves_while_it_is_copied_arrives_as_it_was_first_seen(make, source, target, namespace, judge):
    """Its parts are taken by digest: nothing of the newer push gets in (P-57)."""
    name = f"{namespace}/web"
    first, second = push(source, name, "v1", make()), make()
    with Relay(source) as relay:

        def move(request: Received) -> Answer:
            answer = relay.forward(request)
            push(source, name, "v1", second)
            return answer

        relay.script("GET", f"/v2/{name}/manifests/v1", move)
        replicate(relay.url, target, source_namespace=namespace)
        assert judge.digest(target, f"{name}:v1") == first.digest
        assert lacking(target, name, first) == []
    ran = replicate(source, target, source_namespace=namespace, overwrite=True)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert judge.digest(target, f"{name}:v1") == second.digest


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_catalog_that_is_not_to_be_had_is_an_error_and_not_an_empty_registry(status, source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(status))
        with pytest.raises(OciError, match="name the repositories instead") as caught:
            replicate(relay.url, target, source_namespace=namespace)
    assert (caught.value.side, caught.value.status) == ("source", status)


@pytest.mark.parametrize("body", [b'{"repositories":[]}', b'{"repositories":null}', b"{}"])
def test_a_catalog_that_lists_nothing_to_us_changes_nothing(body, source, target, namespace):
    """What the account may not see is not gone: of the target nothing is even asked (P-54)."""
    for url in (source, target):
        push(url, f"{namespace}/web", "v1", some_image())
    with Relay(source) as from_, Relay(target) as to:
        from_.script("GET", "/v2/_catalog", Answer(body=body))
        assert replicate(from_.url, to.url, source_namespace=namespace, overwrite=True).outcomes == {}
        assert to.requests == []


def test_lists_that_come_in_pages_are_read_to_their_end(source, target, namespace):
    """Debian's registry pages its catalog; tags it gives at once."""
    names = [f"{namespace}/r{number:02}" for number in range(7)]
    for name in names:
        push(source, name, "v1", some_image())
    with Relay(source) as relay:

        def three_at_a_time(request: Received) -> Answer:
            query = parse_qs(urlsplit(request.target).query)
            start = query.get("next_page", ["0"])[0]
            page = names[int(start) : int(start) + 3]
            link = {"Link": f"<{relay.url}/v2/_catalog?next_page={int(start) + 3}>;rel=next"} if len(page) == 3 else {}
            return Answer(200, link, json.dumps({"repositories": page}).encode())

        relay.script("GET", "/v2/_catalog", three_at_a_time)
        ran = replicate(relay.url, target, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied" for name in names}


def test_fifty_thousand_tags_are_filtered_page_by_page():
    tags = [f"build-{number:05}" for number in range(50_000)]

    def page(request: Received) -> Answer:
        last = parse_qs(urlsplit(request.target).query).get("last", [""])[0]
        start = tags.index(last) + 1 if last else 0
        following = tags[start : start + 1000]
        link = {"Link": f'<?n=1000&last={following[-1]}>; rel="next"'} if start + 1000 < len(tags) else {}
        return Answer(200, link, json.dumps({"tags": following}).encode())

    with FakeRegistry() as fake:
        fake.script("GET", "/v2/prod/web/tags/list", page)
        found = list_tags(Client(Endpoint(fake.url)), spec(tags="build-(00007|49999)|v.*"), "prod/web")
        assert len(fake.requests) == 50
    assert found.matching == ["build-00007", "build-49999"]


NO_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from tests.replication.support import replicate
print(replicate(*sys.argv[1:3], source_namespace=sys.argv[3]).outcomes)
"""


def test_nothing_is_written_to_a_disk(source, target, namespace):
    """Not a byte: the process ends at the first one (P-74)."""
    name = f"{namespace}/web"
    push(source, name, "v1", artifacts.image([some_layer(3_000_000), some_layer()]))
    command = [sys.executable, "-B", "-c", NO_FILES, source, target, namespace]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout.strip(), ran.returncode) == (str({f"{name}:v1": "copied"}), 0), ran.stderr


def asked_lists(relay: Relay) -> list[str]:
    return [one.target for one in relay.received("GET") if "/tags/list" in one.target]


@pytest.mark.parametrize("tags", ["v1|gone|latest", "v1"])
def test_tags_that_are_spelled_out_ask_for_no_list(tags, source, target, namespace):
    """P-56. Without referrers, that is: where these lie one page of the list tells best."""
    push(source, f"{namespace}/web", "v1", some_image())
    push(source, f"{namespace}/web", "v2", some_image())
    rule = {"source_namespace": namespace, "repositories": "web", "tags": tags, "with_referrers": False}
    with Relay(source) as from_, Relay(target) as to:
        assert replicate(from_.url, to.url, **rule).outcomes == {f"{namespace}/web:v1": "copied"}
        assert replicate(from_.url, to.url, **rule).outcomes == {f"{namespace}/web:v1": "unchanged"}
        assert asked_lists(from_) == asked_lists(to) == []


def test_each_tag_that_is_spelled_out_is_looked_for_once_and_at_the_same_time(source, target, namespace):
    tags = [f"v{number}" for number in range(6)]
    for tag in tags:
        push(source, f"{namespace}/web", tag, some_image())
    rule = {"source_namespace": namespace, "repositories": "web", "tags": "|".join(tags)}
    replicate(source, target, **rule)
    together = threading.Barrier(len(tags))
    with Relay(source) as relay:

        def wait_for_the_others(request):
            together.wait(10)
            return relay.forward(request)

        relay.script("HEAD", f"/v2/{namespace}/web/manifests/", wait_for_the_others)
        assert set(replicate(relay.url, target, **rule).outcomes.values()) == {"unchanged"}
        assert len(relay.received("HEAD")) == len(tags)


def test_of_many_tags_that_are_spelled_out_both_sides_are_listed(source, target, namespace):
    tags = [f"v{number}" for number in range(21)]
    push(source, f"{namespace}/web", "v1", some_image())
    rule = {"source_namespace": namespace, "repositories": "web", "tags": "|".join(tags), "overwrite": True}
    with Relay(source) as from_, Relay(target) as to:
        assert replicate(from_.url, to.url, **rule).outcomes == {f"{namespace}/web:v1": "copied"}
        assert (len(asked_lists(from_)), len(asked_lists(to))) == (1, 1)
        assert to.received("HEAD", f"/v2/{namespace}/web/manifests/") == []


@pytest.mark.parametrize("list_", ["whole", "too long", "refused"])
def test_signatures_of_tags_that_are_spelled_out_come_along(list_, source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    signature = push(source, name, f"{index.children[1].digest.replace(':', '-')}.sig", some_image())
    sign(source, name, index)
    page = {
        "whole": None,
        "too long": Answer(body=json.dumps({"tags": [f"t{number}" for number in range(1000)]}).encode()),
        "refused": Answer(403),
    }[list_]
    with Relay(source) as relay:
        if page is not None:
            relay.script("GET", f"/v2/{name}/tags/list", page, page, page)
        ran = replicate(relay.url, target, source_namespace=namespace, repositories="web", tags="v1")
        assert len(asked_lists(relay)) == 1
        sign(source, name, index.children[0])
        again = replicate(relay.url, target, source_namespace=namespace, repositories="web", tags="v1")
    assert (ran.outcomes, again.outcomes) == ({f"{name}:v1": "copied"}, {f"{name}:v1": "copied"})
    assert judge.digest(target, f"{name}:{index.children[1].digest.replace(':', '-')}.sig") == signature.digest
    assert judge.digest(target, f"{name}:{artifacts.fallback_tag(index)}")
    assert judge.digest(target, f"{name}:{artifacts.fallback_tag(index.children[0])}")


def test_spelled_out_tags_of_which_none_is_there_are_nothing_to_do(source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    ran = replicate(source, target, source_namespace=namespace, repositories="web|none", tags="v7")
    assert (ran.outcomes, ran.vanished) == ({}, [])


def test_a_spelled_out_tag_that_cannot_be_looked_at_fails_alone(source, target, namespace):
    name = f"{namespace}/web"
    for tag in ("v1", "v2"):
        push(source, name, tag, some_image())
    with Relay(source) as relay:
        for method in ("HEAD", "GET"):
            relay.script(method, f"/v2/{name}/manifests/v2", *[Answer(403)] * 4)
        ran = replicate(relay.url, target, source_namespace=namespace, repositories="web", tags="v1|v2")
    assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:v2": "failed"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b'{"name": "web", "tags": []}'),
        Answer(body=b'{"name": "web", "tags": null}'),
        Answer(404, body=b'{"errors": [{"code": "NAME_UNKNOWN", "message": "unknown"}]}'),
    ],
)
def test_a_target_whose_list_denies_its_tags_keeps_them(answer, source, target, namespace):
    """A list from a cache, or for who may not list: nothing is written over unless asked."""
    name = f"{namespace}/web"
    for number in range(3):
        push(source, name, f"v{number}", some_image())
    old = {f"v{number}": push(target, name, f"v{number}", some_image()).digest for number in range(2)}
    with Relay(target) as relay:
        relay.script("GET", f"/v2/{name}/tags/list", answer)
        ran = replicate(source, relay.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v0": "conflict", f"{name}:v1": "conflict", f"{name}:v2": "copied"}
    for tag, digest in old.items():
        url = f"{target}/v2/{name}/manifests/{tag}"
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        assert requests.head(url, headers=accept, timeout=10).headers["Docker-Content-Digest"] == digest


def test_a_new_repository_is_believed_after_one_question(source, target, namespace):
    for number in range(4):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    with Relay(target) as relay:
        assert set(replicate(source, relay.url, source_namespace=namespace).outcomes.values()) == {"copied"}
        assert len([one for one in relay.received("HEAD") if "/manifests/" in one.target]) == 1
