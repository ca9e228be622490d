"""Check: what it tells of sides that are away, refuse, limit or take too long."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sync.services import drift
from sync.services.drift import What, comparing, sides
from tests.fakes.registry import Answer, Received
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule
from tests.services.test_drift import check, names, steps_of_two
from tests.support import Relay, htpasswd

__all__ = ["steps_of_two"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.usefixtures("steps_of_two")
def test_a_side_that_goes_away_is_told_and_the_check_goes_on_where_it_was(side, rule, namespace, source, target):
    for number in range(4):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    first = drift.go_on(rule, drift.begin())
    instance = getattr(rule, side)
    with Relay(source) as gone:
        pass
    instance.url, url = gone.url, instance.url
    away = drift.go_on(rule, first.progress)
    assert away.problem.startswith(f"{side.capitalize()} {instance.name}: cannot reach the registry")
    assert "Check the address" in away.problem
    assert (away.progress.tag, away.findings) == ("v1", [])
    instance.url = url
    assert [one.tag for one in drift.go_on(rule, away.progress).findings] == ["v2", "v3"]


@pytest.mark.usefixtures("steps_of_two")
def test_a_side_that_goes_away_in_the_midst_of_a_step_fails_no_tag(rule, namespace, source):
    for number in range(4):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    with Relay(source) as relay:
        rule.source.url = relay.url

        def break_down(_: Received) -> Answer:
            relay.script("GET", "/v2/", Answer(503))
            return Answer(503)

        relay.script("HEAD", f"/v2/{namespace}/web/manifests/v1", break_down)
        step = drift.go_on(rule, drift.begin())
        assert "503" in step.problem and (step.progress.tag, step.progress.unknown) == ("v0", 0)


def test_a_credential_that_is_refused_is_told_once(namespace, source, target, start_registry):
    locked = start_registry(htpasswd=htpasswd("robot", "right"))
    closed = make_instance("closed", locked.url, username="robot", password="wrong")
    rule = make_rule(make_instance("open", source), closed, source_namespace=namespace)
    push(source, f"{namespace}/web", "v1", some_image())
    step = drift.go_on(rule, drift.begin())
    assert step.problem.startswith("Target closed: ") and "Check the user name and password" in step.problem
    assert step.findings == [] and not step.progress.is_done
    closed.password = "right"
    assert names(check(rule)[0]) == {f"{namespace}/web:v1": What.MISSING}


def test_what_cannot_be_told_says_why_and_the_rest_is_told(rule, namespace, source, target):
    for name in ("closed", "fine", "odd", "torn", "unseen"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as from_, Relay(target) as to:
        rule.source.url, rule.target.url = from_.url, to.url
        from_.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        from_.script("HEAD", f"/v2/{namespace}/odd/manifests/v1", Answer(403))
        from_.script("HEAD", f"/v2/{namespace}/torn/manifests/v1", Answer(502))
        to.script("GET", f"/v2/{namespace}/unseen/tags/list", Answer(403))
        found, step = check(rule)
    assert names(found) == {
        f"{namespace}/closed": What.UNKNOWN,
        f"{namespace}/fine:v1": What.MISSING,
        f"{namespace}/odd:v1": What.UNKNOWN,
        f"{namespace}/torn:v1": What.UNKNOWN,
        f"{namespace}/unseen:v1": What.MISSING,
        f"{namespace}/unseen": What.UNKNOWN,
    }
    reasons = {one.name: one.reason for one in found}
    assert reasons[f"{namespace}/closed"].startswith("Source guangzhou: cannot list the tags of")
    assert reasons[f"{namespace}/unseen"].startswith("Target frankfurt: cannot list the tags of")
    assert (step.progress.unknown, step.progress.missing) == (4, 2)


def test_a_target_that_lists_no_repositories_is_told_at_the_end(rule, namespace, source, target):
    push(source, f"{namespace}/web", "v1", some_image())
    push(target, f"{namespace}/old", "v1", some_image())
    with Relay(target) as relay:
        relay.script("GET", "/v2/_catalog", Answer(403))
        rule.target.url = relay.url
        found, step = check(rule)
    assert names(found) == {f"{namespace}/web:v1": What.MISSING}
    assert step.others_problem.startswith("Target frankfurt: cannot list the repositories")


def test_a_source_that_lists_no_repositories_ends_the_step(rule, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(403))
        rule.source.url = relay.url
        step = drift.go_on(rule, drift.begin())
    assert "name the repositories instead" in step.problem and not step.progress.is_done


def test_a_list_that_takes_too_long_is_given_up_and_the_rest_is_told(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(comparing, "CALL_SECONDS", 1)
    monkeypatch.setattr(sides, "CALL_SECONDS", 1)
    for name in ("quick", "slow"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/slow/tags/list", Answer(wait=True))
        rule.source.url = relay.url
        found, _ = check(rule)
    assert names(found) == {f"{namespace}/quick:v1": What.MISSING, f"{namespace}/slow": What.UNKNOWN}
    assert f"cannot list the tags of {namespace}/slow" in found[-1].reason


def test_a_registry_that_limits_requests_is_not_asked_on(rule, namespace, source):
    for number in range(3):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    with Relay(source) as relay:
        relay.script("HEAD", f"/v2/{namespace}/web/manifests/v1", Answer(429, {"Retry-After": "600"}))
        rule.source.url = relay.url
        step = drift.go_on(rule, drift.begin())
    assert "limits requests" in step.problem
    assert (step.progress.tag, step.progress.unknown) == ("v0", 0)


def test_two_steps_are_taken_at_once_and_who_comes_third_is_told(rule, namespace, source, monkeypatch):
    monkeypatch.setattr(drift, "PLACE_SECONDS", 0.1)
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as relay, ThreadPoolExecutor(2) as others:
        rule.source.url = relay.url
        arrived = Barrier(3)

        def hold(request: Received) -> Answer:
            arrived.wait(5)
            relay.release.wait(5)
            return relay.forward(request)

        relay.script("GET", "/v2/", hold, hold, relay.forward)
        working = [others.submit(drift.go_on, rule, drift.begin()) for _ in range(2)]
        arrived.wait(5)
        begun = drift.begin()
        step = drift.go_on(rule, begun)
        assert step.crowded and step.progress == begun and not step.problem
        relay.release.set()
        assert not any(one.result().crowded for one in working)
        step = drift.go_on(rule, step.progress)
        assert not step.crowded and [one.name for one in step.findings] == [f"{namespace}/web:v1"]
