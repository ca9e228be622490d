"""A tag that must not be overwritten is not overwritten unseen."""

from sync.oci.errors import Denied, Unauthorized
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, replicate
from tests.support import Relay


def test_a_tag_that_may_not_be_looked_for_is_not_overwritten(source, target, namespace, judge):
    name = f"{namespace}/web"
    theirs = push(target, name, "v1", support.some_image())
    push(source, name, "v1", support.some_image())
    with Relay(target) as relay:
        relay.script("HEAD", f"/v2/{name}/manifests/", Answer(403))
        error = replicate(source, relay.url, source_namespace=namespace).error(f"{name}:v1")
        assert relay.received("PUT", f"/v2/{name}/manifests/v1") == []
    assert isinstance(error, Denied)
    assert (error.side, error.status, error.operation) == ("target", 403, f"look up manifest {name}:v1")
    assert "Existing tags are to be kept" in error.hint
    assert "let it read the target" in str(error)
    assert judge.digest(target, f"{name}:v1") == theirs.digest


def test_a_repository_that_is_hidden_until_it_is_there(source, target, namespace, judge):
    """Some registries refuse to look into what does not exist: after the upload they answer."""
    name = f"{namespace}/web"
    image = push(source, name, "v1", support.some_image())
    with Relay(target) as relay:
        relay.script("GET", f"/v2/{name}/tags/list", Answer(401))
        relay.script("HEAD", f"/v2/{name}/manifests/v1", Answer(401), relay.forward)
        assert replicate(source, relay.url, source_namespace=namespace).outcomes == {f"{name}:v1": "copied"}
        assert len(relay.received("HEAD", f"/v2/{name}/manifests/v1")) == 2
    assert judge.digest(target, f"{name}:v1") == image.digest


def test_a_hidden_tag_with_another_digest_is_a_conflict_once_it_is_seen(source, target, namespace, judge):
    name = f"{namespace}/web"
    theirs = push(target, name, "v1", support.some_image())
    ours = push(source, name, "v1", support.some_image())
    with Relay(target) as relay:
        relay.script("HEAD", f"/v2/{name}/manifests/v1", Answer(401), relay.forward)
        done = replicate(source, relay.url, source_namespace=namespace).resources[f"{name}:v1"]
    assert (done.outcome, done.digest, done.target_digest) == ("conflict", ours.digest, theirs.digest)
    assert judge.digest(target, f"{name}:v1") == theirs.digest


def test_a_tag_that_comes_to_the_target_during_a_long_copy_is_kept(source, target, namespace, judge, monkeypatch):
    monkeypatch.setattr("sync.replication.transfer.LOOK_AGAIN_SECONDS", -1)
    name = f"{namespace}/web"
    theirs, ours = support.some_image(), push(source, name, "v1", support.some_image())
    with Relay(source) as relay:

        def meanwhile(request):
            push(target, name, "v1", theirs)
            return relay.forward(request)

        relay.script("GET", f"/v2/{name}/manifests/v1", meanwhile)
        done = replicate(relay.url, target, source_namespace=namespace).resources[f"{name}:v1"]
    assert (done.outcome, done.digest, done.target_digest) == ("conflict", ours.digest, theirs.digest)
    assert done.error is None
    assert judge.digest(target, f"{name}:v1") == theirs.digest


def test_with_overwriting_nobody_needs_to_look(source, target, namespace, judge):
    name = f"{namespace}/web"
    push(target, name, "v1", support.some_image())
    ours = push(source, name, "v1", support.some_image())
    for refusal in (Answer(403), Answer(401)):
        with Relay(target) as relay:
            relay.script("HEAD", f"/v2/{name}/manifests/", refusal)
            ran = replicate(source, relay.url, source_namespace=namespace, overwrite=True)
        assert ran.outcomes == {f"{name}:v1": "copied"}
        assert judge.digest(target, f"{name}:v1") == ours.digest


def test_who_may_not_read_the_source_is_told_so(source, target, namespace):
    """Only the target's refusal is looked past."""
    name = f"{namespace}/web"
    push(source, name, "v1", support.some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/manifests/v1", Answer(401))
        error = replicate(relay.url, target, source_namespace=namespace).error(f"{name}:v1")
    assert isinstance(error, Unauthorized)
    assert error.side == "source"
