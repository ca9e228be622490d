"""What the form of a rule shows of it before it is saved."""

from time import monotonic

import pytest

from sync.services import glance
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, some_image
from tests.support import Relay

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
    assert (seen.counts["left_out"], seen.counts["conflict"]) == (1, 1)


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
