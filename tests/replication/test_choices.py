"""What a rule chooses: types, tags, overwriting; and what is no longer there."""

import pytest

from demo import artifacts
from sync.oci.client import Client
from sync.oci.places import Endpoint
from sync.registries import PlainRegistry
from sync.replication.plan import list_repositories
from sync.replication.work import Limits
from tests.fakes.registry import Answer, FakeRegistry
from tests.replication import support
from tests.replication.support import push, replicate, sign, some_image, spec
from tests.support import Relay


@pytest.mark.parametrize("kind", ["images", "charts", "others"])
def test_only_the_chosen_types_travel_and_the_others_are_counted(kind, source, target, namespace):
    of_kind = {
        "images": {
            "image": support.some_image(),
            "list": support.some_index(docker=True),
            "deep": support.nested_index(),
        },
        "charts": {"chart": support.some_chart()},
        "others": {
            "model": support.other(),
            "empty": support.other(empty_config=True),
            "models": artifacts.index([artifacts.signature(support.some_image())]),
        },
    }
    for tag, artifact in (pair for artifacts_ in of_kind.values() for pair in artifacts_.items()):
        push(source, f"{namespace}/mixed", tag, artifact)
    chosen = {name: name == kind for name in of_kind}
    ran = replicate(source, target, source_namespace=namespace, **chosen)
    assert ran.outcomes == {f"{namespace}/mixed:{tag}": "copied" for tag in of_kind[kind]}
    assert ran.left_out == sorted(tag for name, tags in of_kind.items() if name != kind for tag in tags)
    assert {done.kind for done in ran.resources.values()} == {kind.removesuffix("s")}


def test_tag_expressions_include_and_exclude(source, target, namespace):
    image = support.some_image()
    for tag in ("v1", "v2", "v2-rc1", "latest"):
        push(source, f"{namespace}/web", tag, image)
    ran = replicate(source, target, source_namespace=namespace, tags="v.*", exclude_tags=".*-rc\\d+")
    assert ran.outcomes == {f"{namespace}/web:v1": "copied", f"{namespace}/web:v2": "copied"}


def test_digest_tags_are_no_resources(source, target, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", support.some_image())
    sign(source, f"{namespace}/web", image)
    push(source, f"{namespace}/web", f"{artifacts.fallback_tag(image)}.sig", support.other())
    ran = replicate(source, target, source_namespace=namespace, with_referrers=False)
    assert ran.outcomes == {f"{namespace}/web:v1": "copied"}
    assert judge.digest(target, f"{namespace}/web:{artifacts.fallback_tag(image)}") == ""
    assert judge.digest(target, f"{namespace}/web:{artifacts.fallback_tag(image)}.sig") == ""


def test_without_overwriting_another_digest_is_a_conflict_and_stays(source, target, namespace, judge):
    theirs = push(target, f"{namespace}/web", "v1", support.some_image())
    ours = push(source, f"{namespace}/web", "v1", support.some_image())
    ran = replicate(source, target, source_namespace=namespace)
    done = ran.resources[f"{namespace}/web:v1"]
    assert (done.outcome, done.digest, done.target_digest) == ("conflict", ours.digest, theirs.digest)
    assert judge.digest(target, f"{namespace}/web:v1") == theirs.digest
    assert ran.moved_bytes == 0


def test_with_overwriting_the_target_becomes_equal(source, target, namespace, judge):
    theirs = push(target, f"{namespace}/web", "v1", support.some_image())
    ours = push(source, f"{namespace}/web", "v1", support.some_chart())
    done = replicate(source, target, source_namespace=namespace, overwrite=True).resources[f"{namespace}/web:v1"]
    assert (done.outcome, done.digest, done.target_digest) == ("copied", ours.digest, theirs.digest)
    assert judge.digest(target, f"{namespace}/web:v1") == ours.digest


def test_a_tag_that_vanished_is_noted_and_the_others_arrive(source, target, namespace):
    push(source, f"{namespace}/web", "v1", support.some_image())
    ran = replicate(source, target, source_namespace=namespace, only=("v1", "gone"))
    assert (ran.outcomes, ran.vanished) == ({f"{namespace}/web:v1": "copied"}, ["gone"])


def test_the_digest_that_the_tag_had_when_taken_up_arrives_whole(source, target, namespace, judge):
    """The tag moves between the look at it and the copy: what was seen is what comes."""
    first = push(source, f"{namespace}/web", "v1", support.some_image())
    second = support.some_image()
    with Relay(source) as relay:

        def move(request):
            answer = relay.forward(request)
            push(source, f"{namespace}/web", "v1", second)
            return answer

        relay.script("HEAD", f"/v2/{namespace}/web/manifests/v1", move)
        replicate(relay.url, target, source_namespace=namespace)
    assert judge.digest(target, f"{namespace}/web:v1") == first.digest


def test_a_source_without_catalog_serves_names_that_are_spelled_out(source, target, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", support.some_image())
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(401, body=b'{"errors":[{"code":"UNAUTHORIZED"}]}'))
        replicate(relay.url, target, source_namespace=namespace, repositories="web|api")
        assert relay.received("GET", "/v2/_catalog") == []
    assert judge.digest(target, f"{namespace}/web:v1") == image.digest


@pytest.mark.parametrize(
    ("namespace_", "expression", "names"),
    [
        ("prod", "web|web|api", ["prod/web", "prod/api"]),
        ("/", "hello|deep/name", ["hello"]),
        ("prod", "Web|a//b|-x|web", ["prod/web"]),
        ("prod", f"web|{'a' * 300}", ["prod/web"]),
    ],
)
def test_spelled_out_names_that_cannot_be_there_are_not_asked_for(namespace_, expression, names):
    with FakeRegistry() as fake:
        registry = PlainRegistry(Client(Endpoint(fake.url)))
        assert list(list_repositories(registry, spec(source_namespace=namespace_, repositories=expression))) == names
        assert fake.requests == []


def test_what_was_seen_of_a_tag_long_before_its_turn_is_asked_again(source, target, namespace, judge, monkeypatch):
    """Somebody pushes while it waits, and another task brings that: the older digest must not come after it."""
    monkeypatch.setattr("sync.replication.resource.SEEN_SECONDS", 0)
    name = f"{namespace}/web"
    first, old, new = some_image(), some_image(), some_image()
    push(source, name, "a", first)
    push(source, name, "b", old)
    push(target, name, "b", old)
    pushed: list[str] = []
    with Relay(source) as relay:

        def meanwhile(request):
            if not pushed:
                pushed.extend(push(url, name, "b", new).digest for url in (source, target))
            return relay.forward(request)

        relay.script("GET", f"/v2/{name}/manifests/{first.digest}", meanwhile)
        rule = {"source_namespace": namespace, "repositories": "web", "tags": "a|b", "overwrite": True}
        replicate(relay.url, target, **rule, limits=Limits(8, 1, 8))
    assert pushed and judge.digest(target, f"{name}:b") == new.digest
