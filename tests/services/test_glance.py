"""What the form of a rule shows of it before it is saved."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import BoundedSemaphore
from time import monotonic

import pytest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from demo import artifacts
from sync.models import SyncRule
from sync.services import glance, remembered
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, some_image, some_layer
from tests.services.support import make_instance, make_rule, run
from tests.support import Relay, wait_until

pytestmark = pytest.mark.django_db


def actions(seen):
    return {one.tag: one.decision.action.value for one in seen.compared}


def test_what_matches_and_what_the_target_has(rule, namespace, source, target):
    same, ours, theirs = some_image(), some_image(), some_image()
    for tag, here, there in (("new", ours, None), ("same", same, same), ("other", ours, theirs)):
        push(source, f"{namespace}/web", tag, here)
        if there:
            push(target, f"mirror-{namespace}/web", tag, there)
    push(source, f"{namespace}/charts", "1.0.0", support.some_chart())
    rule.charts, rule.target_namespace = False, f"mirror-{namespace}"
    seen = glance.look(rule, has_target=True)
    assert (seen.problem, seen.target_problem, seen.repositories, seen.tags, seen.complete) == ("", "", 2, 4, True)
    assert actions(seen) == {"new": "copy", "same": "unchanged", "other": "conflict", "1.0.0": "left out"}
    assert seen.lines[1].target_repository == f"mirror-{namespace}/web"
    assert seen.counted == "1 new, 1 there and equal, 1 in conflict, 1 of a type that is not chosen"
    assert [one.words for one in seen.lines] == ["type not chosen", "new", "conflict: stays as it is", "there, equal"]


def test_the_listing_is_remembered_until_a_refresh(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        rule.source.url = relay.url
        first = glance.look(rule, has_target=True)
        asked = len(relay.requests)
        again = glance.look(rule, has_target=True)
        assert asked and len(relay.requests) == asked
        assert (again.tags, again.listed_at) == (1, first.listed_at)
        push(source, f"{namespace}/web", "v2", some_image())
        assert glance.look(rule, has_target=True, refresh=True).tags == 2


def test_a_listing_from_before_a_push_is_not_believed_for_long(rule, namespace, source, monkeypatch):
    push(source, f"{namespace}/web", "v1", some_image())
    assert glance.look(rule, has_target=True).tags == 1
    push(source, f"{namespace}/web", "v2", some_image())
    assert glance.look(rule, has_target=True).tags == 1, "nobody told of it"
    rule.source.notified_at = timezone.now()
    assert glance.look(rule, has_target=True).tags == 1, "while somebody types the same listing answers"
    monkeypatch.setattr(remembered, "PUSHED_SECONDS", 0)
    assert glance.look(rule, has_target=True).tags == 2
    rule.source.notified_at -= timedelta(hours=1)
    push(source, f"{namespace}/web", "v3", some_image())
    assert glance.look(rule, has_target=True).tags == 2


def test_of_many_those_that_a_person_should_know_of_are_shown_first(rule, namespace, source, target, monkeypatch):
    monkeypatch.setattr(glance, "LINES", 3)
    for number in range(5):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    push(target, f"{namespace}/web", "v4", some_image())
    seen = glance.look(rule, has_target=True)
    assert [(one.tag, one.action) for one in seen.lines] == [("v4", "conflict"), ("v0", "copy"), ("v1", "copy")]


def test_what_a_task_brought_is_told_at_once(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    assert actions(glance.look(rule, has_target=True)) == {"v1": "copy"}
    run(rule)
    assert actions(glance.look(rule, has_target=True)) == {"v1": "unchanged"}


def test_a_source_that_hangs_is_waited_for_no_longer_than_the_box(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(glance, "BOX_SECONDS", 0.6)
    monkeypatch.setattr(glance, "LISTING_SECONDS", 0.4)
    push(source, f"{namespace}/quick", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/slow/tags/list", Answer(wait=True))
        rule.source.url, rule.repositories = relay.url, "quick|slow"
        began = monotonic()
        seen = glance.look(rule, has_target=True)
        assert monotonic() - began < 3
    assert (seen.tags, seen.complete) == (1, False)


@pytest.mark.django_db(transaction=True)
def test_a_look_ends_when_the_same_one_asks_again_and_no_more_than_some_go_on_at_once(
    rule, namespace, source, monkeypatch
):
    monkeypatch.setattr(glance, "BOX_SECONDS", 20.0)
    monkeypatch.setattr(glance, "LISTING_SECONDS", 20.0)
    monkeypatch.setattr(glance, "TURN_SECONDS", 0.1)
    monkeypatch.setattr(glance, "_turns", BoundedSemaphore(2))
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay, ThreadPoolExecutor(3) as pool:
        relay.script("GET", "/v2/_catalog", Answer(wait=True))
        rule.source.url = relay.url
        first, second = (pool.submit(glance.look, rule, has_target=False, asker=name) for name in ("eve", "ann"))
        wait_until(lambda: len(relay.requests) == 2, 10)
        assert "looks at many rules" in glance.look(rule, has_target=False, asker="tom").problem
        relay.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": []}'))
        monkeypatch.setattr(glance, "TURN_SECONDS", 10)
        began = monotonic()
        assert glance.look(rule, has_target=False, asker="eve").problem == "", "the one before makes room"
        first.result(5)
        assert monotonic() - began < 10
        assert not second.done()
        glance.look(rule, has_target=False, asker="ann")
        second.result(5)
    assert glance._under_way == {}


@pytest.mark.parametrize(
    ("path", "what"),
    [("_catalog", "its repositories"), ("{}/web/tags/list", "the tags of any repository that matches")],
)
def test_that_nothing_was_listed_in_time_is_not_told_as_nothing_there(path, what, rule, namespace, source, monkeypatch):
    monkeypatch.setattr(glance, "BOX_SECONDS", 1.0)
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{path.format(namespace)}", Answer(wait=True))
        rule.source.url = relay.url
        seen = glance.look(rule, has_target=True)
    assert seen.problem == f"The source did not list {what} within 1 seconds, so it is not known yet what matches."
    assert (seen.tags, seen.complete, seen.target_problem) == (0, False, "")


def test_a_side_that_is_away_is_told(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as gone:
        pass
    rule.target.url = gone.url
    seen = glance.look(rule, has_target=True)
    assert seen.tags == 1
    assert "the connection was refused" in seen.target_problem
    rule.source.url = gone.url
    assert "the connection was refused" in glance.look(rule, has_target=True).problem


def sizes(*found):
    """What blobs weigh that are in one artifact or in several."""
    blobs: dict[str, int] = {}
    for artifact in found:
        blobs |= {blob.digest: len(blob.data) for blob in artifact.blobs}
        blobs |= {blob.digest: len(blob.data) for child in artifact.children for blob in child.blobs}
    return sum(blobs.values())


def push_layers_that_are_shared(source, repository):
    """Two images and an index over one of them and another, all on the same base; a third image with a tag more."""
    base = some_layer()
    first, second, third = (artifacts.image([base, some_layer()], f"linux/{number}") for number in range(3))
    index = artifacts.index([second, third])
    for tag, artifact in (("v1", first), ("v1-again", first), ("v2", second), ("v3", index)):
        push(source, repository, tag, artifact)
    return sizes(first, second, index)


def test_what_would_move_counts_each_blob_once_and_leaves_out_what_is_there(rule, namespace, source, target):
    expected = push_layers_that_are_shared(source, f"{namespace}/web")
    same, ours, theirs = some_image(), some_image(), some_image()
    for url, tag, image in ((source, "same", same), (target, "same", same), (source, "x", ours), (target, "x", theirs)):
        push(url, f"{namespace}/web", tag, image)
    volume = glance.look(rule, has_target=True).volume
    assert (volume.bytes, volume.read, volume.tags, volume.is_complete) == (expected, 4, 4, True)
    rule.overwrite, rule.with_referrers = True, False
    volume = glance.look(rule, has_target=True).volume
    assert (volume.bytes, volume.tags) == (expected + sizes(ours), 5)
    assert str(volume) == f"about {filesizeformat(expected + sizes(ours))} to move at the most"


def test_a_run_moves_what_was_told_and_less_where_the_target_has_some_of_it(rule, namespace, source):
    push_layers_that_are_shared(source, f"{namespace}/web")
    told = glance.look(rule, has_target=True).volume.bytes
    assert run(rule).moved_bytes == told
    base, own = some_layer(), some_layer()
    push(source, f"{namespace}/api", "v1", artifacts.image([base]))
    assert run(rule).moved_bytes
    push(source, f"{namespace}/api", "v2", artifacts.image([base, own]))
    told = glance.look(rule, has_target=True, refresh=True).volume.bytes
    assert 0 < run(rule).moved_bytes == told - len(base.data)


def test_what_a_manifest_holds_is_read_once_even_after_a_refresh(rule, namespace, source):
    push_layers_that_are_shared(source, f"{namespace}/web")
    with Relay(source) as relay:
        rule.source.url = relay.url
        first = glance.look(rule, has_target=True).volume
        read = [one.target for one in relay.received("GET", f"/v2/{namespace}/web/manifests/")]
        assert len(read) == len(set(read)) == 4
        relay.requests.clear()
        assert glance.look(rule, has_target=True, refresh=True).volume == first
        assert relay.received("GET", f"/v2/{namespace}/web/manifests/") == []
        assert relay.received("HEAD", f"/v2/{namespace}/web/manifests/")


@pytest.mark.parametrize("answer", [Answer(wait=True), Answer(404)])
def test_of_tags_that_could_not_be_read_it_is_said_how_many(answer, rule, namespace, source, monkeypatch):
    monkeypatch.setattr(glance, "BOX_SECONDS", 1.0)
    known, unknown = some_image(), some_image()
    push(source, f"{namespace}/web", "v1", known)
    push(source, f"{namespace}/web", "v2", unknown)
    rule.with_referrers = False
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/web/manifests/{unknown.digest}", answer)
        rule.source.url = relay.url
        volume = glance.look(rule, has_target=True).volume
    assert (volume.bytes, volume.read, volume.tags, volume.is_complete) == (sizes(known), 1, 2, False)
    assert str(volume).endswith("to move at the most for 1 of 2 tags")


def test_with_more_tags_than_are_compared_the_bytes_are_those_of_the_compared(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(glance, "COMPARED", 1)
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    words = str(glance.look(rule, has_target=True).volume)
    assert "for the 1 tag found so far," in words
    assert words.endswith("not counting attached signatures and attestations")


def test_an_old_listing_says_so(rule, namespace, source, monkeypatch):
    push(source, f"{namespace}/web", "v1", some_image())
    seen = glance.look(rule, has_target=True)
    assert not seen.is_stale
    later = timezone.now() + timedelta(minutes=2, seconds=1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert seen.is_stale


def test_other_rules_that_may_write_to_the_same_names(rule, namespace, source, guangzhou, frankfurt):
    for name in ("api", "web/nginx"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    paris = make_instance("paris", source)
    make = {"source_namespace": namespace, "target_namespace": ""}
    make_rule(guangzhou, frankfurt, name="a-copy", **make)
    make_rule(paris, frankfurt, name="b-elsewhere", source_namespace="team", target_namespace=f"{namespace}/web")
    make_rule(paris, frankfurt, name="c-off", enabled=False, **make)
    make_rule(paris, frankfurt, name="d-other-tags", tags="latest", **make)
    make_rule(paris, frankfurt, name="e-other-names", repositories="api", **make)
    make_rule(paris, frankfurt, name="f-other-namespace", **make | {"target_namespace": "mirror"})
    make_rule(frankfurt, paris, name="g-other-target", **make)
    found = glance.look(rule, has_target=True, others=SyncRule.objects.all()).overlaps
    arrived = f"{namespace}/web/nginx"
    assert [(one.rule.name, one.names, one.same_source) for one in found] == [
        ("a-copy", [f"{namespace}/api", arrived], True),
        ("b-elsewhere", [arrived], False),
        ("e-other-names", [f"{namespace}/api"], False),
        ("c-off", [f"{namespace}/api", arrived], False),
    ]


def test_of_many_other_rules_three_are_shown(rule, namespace, source, guangzhou, frankfurt):
    push(source, f"{namespace}/web", "v1", some_image())
    for number in range(5):
        make_rule(guangzhou, frankfurt, name=f"copy-{number}", source_namespace=namespace)
    seen = glance.look(rule, has_target=True, others=SyncRule.objects.all())
    assert [one.rule.name for one in seen.overlaps_shown] == ["copy-0", "copy-1", "copy-2"]
    assert seen.more_overlaps == 2
