"""Limits, faults and refusals of a registry, at each request that a rule makes."""

import pytest

from demo import artifacts
from tests.fakes.guard import GuardedRelay
from tests.fakes.registry import Answer, Received
from tests.replication.support import lacking, push, replicate, some_image, some_layer
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("quick_backoff")

LARGE = 3_000_000

PASSING = [
    Answer(429, {"Retry-After": "0"}),
    Answer(503, {"Retry-After": "0"}),
    Answer(429),
    *map(Answer, (408, 500, 502, 503, 504)),
]
REQUESTS = [
    ("source", "GET", "tags/list"),
    ("source", "GET", "manifests/"),
    ("source", "GET", "blobs/"),
    ("target", "POST", "blobs/uploads/"),
    ("target", "PUT", "blobs/uploads/"),
    ("target", "PUT", "manifests/"),
]


@pytest.mark.parametrize("answer", PASSING, ids=lambda one: f"{one.status}{'+' if one.headers else ''}")
@pytest.mark.parametrize(("side", "method", "path"), REQUESTS, ids=lambda one: one)
def test_a_fault_that_passes_leaves_no_trace(side, method, path, answer, source, target, namespace):
    name = f"{namespace}/web"
    image = push(source, name, "v1", artifacts.image([some_layer(1_200_000)]))
    with Relay(source) as from_, Relay(target) as to:
        relay = from_ if side == "source" else to
        relay.script(method, f"/v2/{name}/{path}", answer, relay.forward)
        ran = replicate(from_.url, to.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


@pytest.mark.parametrize(("side", "method", "path"), REQUESTS, ids=lambda one: one)
def test_a_wait_longer_than_a_minute_is_told_and_not_sat_out(side, method, path, source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", artifacts.image([some_layer(1_200_000)]))
    with Relay(source) as from_, Relay(target) as to:
        relay = from_ if side == "source" else to
        relay.script(method, f"/v2/{name}/{path}", Answer(429, {"Retry-After": "1800"}))
        ran = replicate(from_.url, to.url, source_namespace=namespace)
    (done,) = ran.resources.values()
    assert done.error is not None
    assert (done.error.side, done.error.status, done.error.retry_after) == (side, 429, 1800)
    assert done.error.retryable


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "MANIFEST_INVALID"), (403, "DENIED"), (405, "UNSUPPORTED"), (409, "TAG_IMMUTABLE"), (413, "SIZE_INVALID"),
     (412, "PRECONDITION"), (415, "UNSUPPORTED"), (422, "QUOTA_EXCEEDED")],
)  # fmt: skip
@pytest.mark.parametrize("what", ["manifests/v1", "blobs/uploads/"])
def test_a_refusal_is_told_with_its_reason_and_the_others_arrive(what, status, code, source, target, namespace, judge):
    name, other = f"{namespace}/web", f"{namespace}/other"
    for repository in (name, other):
        push(source, repository, "v1", some_image())
    words = f'{{"errors":[{{"code":"{code}","message":"no, and why"}}]}}'.encode()
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/{what}", Answer(status, body=words))
        relay.script("PATCH", f"/v2/{name}/{what}", Answer(status, body=words))
        ran = replicate(source, relay.url, source_namespace=namespace)
        asked = [one for one in relay.received("PUT", f"/v2/{name}/") if what in one.target]
        # a blob may be welcome in another form: config and two layers, each sent once as a whole
        assert len(asked) == (1 if what.startswith("manifests") else 3)
    assert ran.outcomes == {f"{name}:v1": "failed", f"{other}:v1": "copied"}
    error = ran.error(f"{name}:v1")
    assert (error.side, error.status, error.code, error.retryable) == ("target", status, code, False)
    assert "no, and why" in str(error)
    assert judge.digest(target, f"{name}:v1") == ""


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_repository_that_is_not_there_yet_is_created_by_the_push(status, source, target, namespace):
    """Some registries refuse to look at, or to list, what does not exist; the POST decides (P-22)."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", some_image())
    codes = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN"}
    refused = Answer(status, body=b'{"errors":[{"code":"%s"}]}' % codes[status].encode())
    with Relay(target) as relay:
        relay.script("GET", f"/v2/{name}/tags/list", refused)
        relay.script("HEAD", f"/v2/{name}/manifests/", refused)
        ran = replicate(source, relay.url, source_namespace=namespace, overwrite=True)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_uploads_that_fail_for_good_leave_no_session_open(source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", artifacts.image([some_layer(LARGE)]))
    with Relay(target) as relay:
        relay.script("PUT", f"/v2/{name}/blobs/uploads/", Answer(403))
        replicate(source, relay.url, source_namespace=namespace)
        opened = len(relay.received("POST"))
        assert len(relay.received("DELETE", f"/v2/{name}/blobs/uploads/")) == opened > 0


def test_an_upload_session_that_is_lost_is_begun_anew_as_often_as_it_takes(source, target, namespace):
    name = f"{namespace}/web"
    layer = some_layer(LARGE)
    image = push(source, name, "v1", artifacts.image([layer]))
    lost = Answer(404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
    with Relay(target) as relay:
        answers = iter([lost] * 3)

        def forget(request: Received) -> Answer:
            of_layer = request.target.endswith(layer.digest.removeprefix("sha256:"))
            return next(answers, None) or relay.forward(request) if of_layer else relay.forward(request)

        relay.script("PUT", f"/v2/{name}/blobs/uploads/", forget)
        ran = replicate(source, relay.url, source_namespace=namespace)
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert lacking(target, name, image) == []


def test_secrets_of_the_registries_are_in_no_error(source, target, namespace):
    name = f"{namespace}/web"
    push(source, name, "v1", some_image())
    with GuardedRelay(target) as relay:
        relay.script("POST", f"/v2/{name}/", Answer(202, {"Location": f"/v2/{name}/up?sig=s3cret"}))
        relay.script("PUT", f"/v2/{name}/up", Answer(403, body=b"Bearer abcdefghijk token at http://x/?sig=s3cret"))
        error = replicate(source, relay.url, source_namespace=namespace).error(f"{name}:v1")
    assert "s3cret" not in f"{error}{vars(error)}"
    assert "abcdefghijk" not in f"{error}{vars(error)}"
