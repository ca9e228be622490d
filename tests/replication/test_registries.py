"""The ways of registries, where a rule meets them: mounts, tokens, redirects, and what they do not tell."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from demo import artifacts
from sync.replication.work import Limits
from tests.fakes.guard import GuardedRelay
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.replication.support import lacking, push, replicate, some_image, some_index, some_layer
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

LARGE = 3_000_000


def without(relay: Relay, *headers: str):
    """The real answer without some of its headers."""

    def bare(request: Received) -> Answer:
        answer = relay.forward(request)
        return replace(answer, headers={name: value for name, value in answer.headers.items() if name not in headers})

    return bare


# mounting


@pytest.mark.parametrize("status", [202, 400, 401, 403, 404, 405])
def test_a_mount_that_is_not_made_becomes_an_upload(status, source, target, namespace):
    """202 without a second POST (P-13), a refusal with a plain one (P-14)."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", some_image())
    with Relay(target) as relay:
        if status != 202:
            relay.script("POST", f"/v2/{name}/blobs/uploads/?", Answer(status))
        ran = replicate(source, relay.url, source_namespace=namespace)
        assert len(relay.received("POST")) == len(image.blobs) * (1 if status == 202 else 2)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_a_mount_that_is_made_moves_nothing(source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", some_image())
    push(target, name, "other", image)
    with Relay(target) as relay:
        ran = replicate(source, relay.url, source_namespace=namespace)
        assert [one.target for one in relay.received("PUT") if "/blobs/" in one.target] == []
        assert len(relay.received("POST")) == len(image.blobs)
    assert (ran.outcomes, ran.moved_bytes) == ({f"{name}:v1": "copied"}, 0)


def test_within_one_instance_without_the_right_to_mount_the_bytes_move(source, namespace):
    """Only the token's right decides: the rule may read the source, but not mount from it (P-12)."""
    image = push(source, f"{namespace}/web", "v1", some_image())
    there = f"mirror-{namespace}"
    with Relay(source) as relay:
        relay.script("POST", f"/v2/{there}/web/blobs/uploads/?", Answer(403))
        ran = replicate(relay.url, relay.url, source_namespace=namespace, target_namespace=there)
    assert ran.outcomes == {f"{namespace}/web:v1": "copied"}
    assert ran.moved_bytes == sum(len(blob.data) for blob in image.blobs)
    assert lacking(source, f"{there}/web", image) == []


# tokens


def test_tokens_are_asked_for_by_repository_and_both_sides_in_one_for_a_mount(source, target, namespace):
    names = [f"{namespace}/{name}" for name in ("api", "jobs", "web")]
    shared = some_layer()
    images = {name: push(source, name, "v1", artifacts.image([shared, some_layer()])) for name in names}
    with GuardedRelay(source) as from_, GuardedRelay(target) as to:
        ran = replicate(from_.url, to.url, source_namespace=namespace)
        assert set(ran.outcomes.values()) == {"copied"}
        for scopes in (*from_.scopes, *to.scopes):
            assert len(scopes) <= 2
        assert any(len(scopes) == 2 and sum("push" in one for one in scopes) == 1 for scopes in to.scopes)
        assert len(from_.scopes) == len({tuple(scopes) for scopes in from_.scopes})
    assert [lacking(target, name, image) for name, image in images.items()] == [[]] * 3


@pytest.mark.parametrize("uses", [2, 7])
def test_tokens_that_end_in_the_middle_are_renewed(uses, source, target, namespace):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    large = push(source, name, "v2", artifacts.image([some_layer(LARGE)]))
    with GuardedRelay(source, uses=uses) as from_, GuardedRelay(target, uses=uses) as to:
        ran = replicate(from_.url, to.url, source_namespace=namespace, limits=Limits(calls_at_once=1))
        assert ran.outcomes == {f"{name}:v1": "copied", f"{name}:v2": "copied"}
        assert len(to.scopes) > 3
    assert lacking(target, name, index) + lacking(target, name, large) == []


@pytest.mark.parametrize("what", ["blobs/uploads/", "manifests/"])
def test_a_token_that_is_refused_at_the_end_of_a_write(what, source, target, namespace):
    """Registries look at the token again when the last byte has come (P-17), or have forgotten their keys (P-18)."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([some_layer(LARGE)]))
    with GuardedRelay(target) as relay:
        challenge = {"WWW-Authenticate": f'Bearer realm="{relay.url}/token",error="invalid_token"'}
        relay.script("PUT", f"/v2/{name}/{what}", Answer(401, challenge), relay.guard)
        ran = replicate(source, relay.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_a_repository_that_no_token_opens_fails_alone(source, target, namespace):
    for name in ("closed", "open"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with GuardedRelay(target, closed=frozenset({f"{namespace}/closed"})) as relay:
        ran = replicate(source, relay.url, source_namespace=namespace, overwrite=True)
    assert ran.outcomes == {f"{namespace}/open:v1": "copied", f"{namespace}/closed:v1": "failed"}
    error = ran.error(f"{namespace}/closed:v1")
    assert (error.side, error.status) == ("target", 401)
    assert "some registries say 401 for what does not exist" in error.hint


# redirects


@pytest.mark.parametrize("size", [3_000, LARGE], ids=["small", "large"])
def test_blobs_are_fetched_where_the_source_sends_us_without_its_token(size, source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(size)
    image = push(source, name, "v1", artifacts.image([layer]))
    path = "/store/blob?sig=a%2fb+c==&X-Amz=1"
    with GuardedRelay(source) as relay, FakeRegistry() as storage:
        storage.script("GET", path, Answer(body=layer.data))
        relay.script("GET", f"/v2/{name}/blobs/{layer.digest}", Answer(307, {"Location": f"{storage.url}{path}"}))
        ran = replicate(relay.url, target, source_namespace=namespace)
        (asked,) = storage.requests
        assert asked.target == path
        assert "Authorization" not in asked.headers
        assert all("Authorization" in one.headers for one in relay.received("GET", f"/v2/{name}/blobs/"))
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_blobs_go_where_the_target_wants_them_without_its_token(source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", some_image())
    with GuardedRelay(target) as relay, Relay(target) as storage:

        def elsewhere(request: Received) -> Answer:
            answer = relay.guard(request)
            place = urlsplit(answer.headers.get("Location", ""))
            moved = {"Location": f"{storage.url}{place.path}?{place.query}"} if answer.status == 202 else {}
            return replace(answer, headers={**answer.headers, **moved})

        relay.script("POST", f"/v2/{name}/blobs/uploads/", elsewhere)
        ran = replicate(source, relay.url, source_namespace=namespace)
        assert len(storage.received("PUT")) == len(image.blobs)
        assert not any("Authorization" in one.headers for one in storage.requests)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_a_relative_location_keeps_its_query(source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([some_layer(LARGE), some_layer()]))
    with Relay(target) as relay:
        asked = []

        def relative(request: Received) -> Answer:
            answer = relay.forward(request)
            place = urlsplit(answer.headers["Location"])
            asked.append(f"{place.path}?{place.query}&x=a%2fb+c==")
            return replace(answer, headers={**answer.headers, "Location": asked[-1]})

        relay.script("POST", f"/v2/{name}/blobs/uploads/", relative)
        ran = replicate(source, relay.url, source_namespace=namespace)
        put = [one.target for one in relay.received("PUT", f"/v2/{name}/blobs/uploads/")]
    assert sorted(target.rpartition("&digest=")[0] for target in put) == sorted(asked)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


# what is not told


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("how", ["405", "400", "no digest", "no length"])
def test_a_head_that_is_refused_or_says_too_little(how, side, source, target, namespace, judge):
    """Asked by GET instead; a tag that is equal already is seen to be (P-30)."""
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    push(target, name, "v1", index)
    push(source, name, "v2", some_image())
    push(target, name, "v2", some_image())
    with Relay(source) as from_, Relay(target) as to:
        relay = from_ if side == "source" else to
        bare = without(relay, "Docker-Content-Digest" if how == "no digest" else "Content-Length")
        relay.script("HEAD", f"/v2/{name}/manifests/", Answer(int(how)) if how.isdecimal() else bare)
        ran = replicate(from_.url, to.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "unchanged", f"{name}:v2": "conflict"}


def test_a_target_that_does_not_tell_the_digest_of_what_it_stored(source, target, namespace, judge):
    name = f"{namespace}/web"
    index = push(source, name, "v1", some_index())
    with Relay(source) as from_, Relay(target) as to:
        for relay, methods in ((from_, ("GET", "HEAD")), (to, ("GET", "HEAD", "PUT"))):
            for method in methods:
                relay.script(method, f"/v2/{name}/", without(relay, "Docker-Content-Digest"))
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "unchanged"}
    assert lacking(target, name, index) == []
    assert judge.digest(target, f"{name}:v1") == index.digest


def test_a_registry_that_refuses_to_look_for_blobs_is_not_asked(source, target, namespace):
    """One endpoint that is never there must not stop anything (P-29)."""
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    with Relay(source) as from_, Relay(target) as to:
        for relay in (from_, to):
            relay.script("HEAD", f"/v2/{name}/blobs/", Answer(405))
        assert replicate(from_.url, to.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}


def test_what_is_equal_is_seen_without_pulling_from_the_target(source, target, namespace):
    """Pull counters of the target stand still (P-67)."""
    name = f"{namespace}/web"
    for url in (source, target):
        push(url, name, "v1", artifacts.image([artifacts.layer({"a": b"same"})]))
    with Relay(target) as relay:
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "unchanged"}
        assert relay.received("GET", f"/v2/{name}/manifests/") == []
        assert len(relay.received("HEAD")) == 1
