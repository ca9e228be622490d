"""Where is it? Real registries are asked; what the database knows is what tasks have left there."""

import time
from typing import Any

import pytest
from django.utils import timezone

from sync.models import Instance, SyncRule
from sync.oci.reference import InvalidReference
from sync.services.locate import Answer, RuleAnswer, Sighting, State, Verdict, find
from tests.fakes.registry import Answer as Scripted
from tests.fakes.registry import FakeRegistry
from tests.replication.support import push, some_chart, some_image
from tests.services.support import make_instance, make_rule, open_here, run
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def everywhere(text: str, **options: Any) -> Answer:
    return find(text, Instance.objects.all(), **options)


def at(answer: Answer, instance: str) -> Sighting:
    """The only one of an instance."""
    (found,) = (one for one in answer.sightings if one.place.instance.name == instance)
    return found


def of_rule(answer: Answer) -> RuleAnswer:
    (found,) = answer.rules
    return found


def changed(rule: SyncRule, **fields: Any) -> None:
    SyncRule.objects.filter(pk=rule.pk).update(**fields)


def test_what_a_rule_brought_is_there_since_then(rule, namespace, source):
    image = push(source, f"{namespace}/web", "1.2.3", some_image())
    began = timezone.now()
    task = run(rule)
    answer = everywhere(f"{namespace}/web:1.2.3")
    for instance in ("guangzhou", "frankfurt"):
        assert (at(answer, instance).seen.state, at(answer, instance).seen.digest) == (State.THERE, image.digest)
    delivery = at(answer, "frankfurt").delivery
    assert delivery is not None
    assert delivery.brought and delivery.rule == rule and began <= delivery.delivered_at <= timezone.now()
    assert at(answer, "guangzhou").delivery is None
    found = of_rule(answer)
    assert (found.verdict, found.reasons, found.task) == (Verdict.DELIVERED, [], task)
    assert found.last is not None and found.last.outcome == "copied"
    assert (answer.there, answer.unknown, answer.instances) == (2, 0, 2)


def test_what_came_after_the_last_run_is_not_there_yet(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    assert of_rule(everywhere(f"{namespace}/web:v1")).next_step == "The rule has not been triggered yet: press Sync."
    run(rule)
    push(source, f"{namespace}/web", "v2", some_image())
    found = of_rule(everywhere(f"{namespace}/web:v2"))
    assert found.verdict is Verdict.NOT_YET and "came after the last run" in found.next_step
    task = open_here(rule)
    found = of_rule(everywhere(f"{namespace}/web:v2"))
    assert found.next_step == f"Task {task.pk} is at work on this rule."


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"repositories": "api|web/.*"}, "Repositories: api|web/.* does not match web"),
        ({"exclude_repositories": "w.b"}, "Exclude repositories: w.b matches web"),
        ({"tags": r"v\d+"}, r"Tags: v\d+ does not match 1.2.3"),
        ({"exclude_tags": "1.*"}, "Exclude tags: 1.* matches 1.2.3"),
        ({"images": False}, "Type: this is a container image, which the rule leaves out."),
    ],
)
def test_the_part_that_leaves_it_out_is_named(rule, namespace, source, fields, told):
    push(source, f"{namespace}/web", "1.2.3", some_image())
    changed(rule, **fields)
    found = of_rule(everywhere(f"{namespace}/web:1.2.3"))
    assert (found.verdict, [str(reason) for reason in found.reasons]) == (Verdict.EXCLUDED, [told])


def test_every_part_that_leaves_it_out_is_named(rule, namespace, source):
    push(source, f"{namespace}/web", "1.2.3", some_chart())
    changed(rule, repositories="api", exclude_tags="1.*", charts=False)
    found = of_rule(everywhere(f"{namespace}/web:1.2.3"))
    assert [reason.part for reason in found.reasons] == ["Repositories", "Exclude tags", "Type"]


def test_a_rule_of_another_namespace_is_named_apart(rule, namespace, source):
    push(source, f"{namespace}/web", "1.2.3", some_image())
    changed(rule, source_namespace="other")
    answer = everywhere(f"{namespace}/web:1.2.3")
    assert (list(answer.rules), [way.pk for way in answer.elsewhere]) == ([], [rule.pk])


def test_a_rule_does_not_copy_its_own_copies(guangzhou, namespace, source):
    rule = make_rule(guangzhou, guangzhou, source_namespace=namespace, target_namespace=f"{namespace}/copy")
    push(source, f"{namespace}/copy/web", "v1", some_image())
    answer = everywhere(f"{namespace}/copy/web:v1")
    verdicts = {one.route.source.repository: one for one in answer.rules if one.rule == rule}
    excluded = verdicts[f"{namespace}/copy/web"]
    assert (excluded.verdict, [reason.part for reason in excluded.reasons]) == (Verdict.EXCLUDED, ["Target namespace"])
    assert len(answer.rules) < 10, "a circle is not followed without end"


def test_another_digest_stays_where_overwriting_is_off(rule, namespace, source, target):
    push(source, f"{namespace}/web", "1.2.3", some_image())
    push(target, f"{namespace}/web", "1.2.3", some_image())
    found = of_rule(everywhere(f"{namespace}/web:1.2.3"))
    assert (found.verdict, [reason.part for reason in found.reasons]) == (Verdict.HELD_BACK, ["Overwrite"])
    assert len(everywhere(f"{namespace}/web:1.2.3").digests) == 2
    changed(rule, overwrite=True)
    assert of_rule(everywhere(f"{namespace}/web:1.2.3")).verdict is Verdict.NOT_YET


def test_a_disabled_rule_is_told_as_such(rule, namespace, source):
    push(source, f"{namespace}/web", "1.2.3", some_image())
    changed(rule, enabled=False)
    found = of_rule(everywhere(f"{namespace}/web:1.2.3"))
    assert (found.verdict, [reason.part for reason in found.reasons]) == (Verdict.NOT_YET, ["Disabled"])


def test_what_the_source_lacks_no_rule_can_bring(rule, namespace):
    found = of_rule(everywhere(f"{namespace}/web:1.2.3"))
    assert found.verdict is Verdict.NO_SOURCE
    assert str(found.reasons[0]) == f"Source: guangzhou has nothing under the name {namespace}/web:1.2.3"


def test_what_is_no_registry_has_nothing_to_tell(rule, namespace, source):
    """Any web server answers 404."""
    push(source, f"{namespace}/web", "v1", some_image())
    with FakeRegistry() as web:
        Instance.objects.filter(name="frankfurt").update(url=web.url)
        seen = at(everywhere(f"{namespace}/web:v1"), "frankfurt").seen
        assert seen.state is State.UNKNOWN and "404" in seen.problem
        web.script("GET", "/v2/", Scripted(401, {"WWW-Authenticate": 'Basic realm="it"'}))
        assert at(everywhere(f"{namespace}/web:v1"), "frankfurt").seen.state is State.ABSENT


def test_a_name_is_followed_to_where_it_arrives_and_to_where_it_comes_from(rule, namespace, source):
    changed(rule, target_namespace=f"mirror-{namespace}")
    image = push(source, f"{namespace}/web", "v1", some_image())
    rule.refresh_from_db()
    run(rule)
    for typed in (f"{namespace}/web:v1", f"mirror-{namespace}/web:v1"):
        answer = everywhere(typed)
        names = {one.place.instance.name: one.place.repository for one in answer.sightings}
        assert names == {"guangzhou": f"{namespace}/web", "frankfurt": f"mirror-{namespace}/web"}
        assert answer.digests == {image.digest}
        assert of_rule(answer).verdict is Verdict.DELIVERED


def test_a_chain_of_rules_is_followed(guangzhou, frankfurt, rule, namespace, source):
    changed(rule, target_namespace=f"a-{namespace}")
    back = make_rule(frankfurt, guangzhou, source_namespace=f"a-{namespace}", target_namespace=f"b-{namespace}")
    push(source, f"{namespace}/web", "v1", some_image())
    answer = everywhere(f"{namespace}/web:v1")
    assert {one.rule: one.verdict for one in answer.rules} == {rule: Verdict.NOT_YET, back: Verdict.NO_SOURCE}
    assert f"b-{namespace}/web" in {one.place.repository for one in answer.sightings}


def test_a_host_says_which_instance_is_meant(guangzhou, frankfurt, rule, namespace, source):
    image = push(source, f"{namespace}/web", "latest", some_image())
    make_rule(frankfurt, guangzhou, name="back", source_namespace=namespace)
    for typed in (f"{guangzhou.host}/{namespace}/web", f"http://{guangzhou.host}/{namespace}/web:latest"):
        answer = everywhere(typed)
        assert answer.wanted.named == (guangzhou,)
        assert str(answer.wanted) == f"{namespace}/web:latest"
        assert answer.sightings[0].place.instance == guangzhou and answer.sightings[0].seen.digest == image.digest
    assert len(everywhere(f"{namespace}/web").rules) == 2


def test_a_host_without_a_dot_is_known_by_its_instance(db):
    registry = make_instance("a", "https://registry")
    hub = make_instance("hub", "https://registry-1.docker.io")
    from_registry = find("registry/prod/web:1", [registry], seconds=0.1).wanted
    assert (from_registry.repository, from_registry.named) == ("prod/web", (registry,))
    assert find("registry/prod/web:1", [hub], seconds=0.1).wanted.repository == "registry/prod/web"
    assert find("oci://registry/charts/web:1", [hub], seconds=0.1).wanted.repository == "charts/web"
    (place,) = (one.place for one in find("docker.io/nginx", [hub], seconds=0.1).sightings)
    assert (place.instance, place.repository) == (hub, "library/nginx")


def test_a_host_that_no_instance_has_is_told_and_the_name_looked_for(guangzhou, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    answer = everywhere(f"registry.example:5000/{namespace}/web:v1")
    assert answer.wanted.unknown_host and answer.wanted.host == "registry.example:5000"
    assert at(answer, "guangzhou").seen.state is State.THERE


def test_a_digest_is_found_and_compared(rule, namespace, source):
    image, other = (push(source, f"{namespace}/web", tag, some_image()) for tag in ("v1", "v2"))
    changed(rule, tags="v1")
    rule.refresh_from_db()
    run(rule)
    answer = everywhere(f"{namespace}/web@{image.digest}")
    assert (answer.wanted.tag, at(answer, "frankfurt").seen.state) == ("", State.THERE)
    assert at(answer, "frankfurt").delivery is not None
    assert [reason.part for reason in of_rule(answer).reasons] == ["Tags"]
    answer = everywhere(f"{namespace}/web:v1@{other.digest}")
    assert at(answer, "frankfurt").differs and at(answer, "frankfurt").seen.digest == image.digest


@pytest.mark.parametrize(
    "typed", ["Nonsense Name", "prod/web:", "prod/web@sha256:12", "a b", "https://", "sha256:" + "a" * 64]
)
def test_what_is_no_reference_is_refused_with_a_sentence(db, typed):
    with pytest.raises(InvalidReference) as refused:
        find(typed, [])
    assert str(refused.value).endswith((".", "…"))


def test_an_instance_that_cannot_be_looked_at_is_named_with_the_reason(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(source) as closed:
        closed.script("HEAD", f"/v2/{namespace}/web/manifests/v1", Scripted(403))
        make_instance("closed", closed.url)
        Instance.objects.filter(name="frankfurt").update(url="http://127.0.0.1:1")
        answer = everywhere(f"{namespace}/web:v1")
    assert at(answer, "guangzhou").seen.state is State.THERE
    assert "closed: cannot look up manifest" in at(answer, "closed").seen.problem
    assert "frankfurt" in at(answer, "frankfurt").seen.problem
    assert (answer.there, answer.unknown) == (1, 2)
    found = of_rule(answer)
    assert (found.verdict, str(found.reasons[0])) == (Verdict.UNKNOWN, "Target: frankfurt could not be looked at.")


def test_nobody_waits_for_those_who_do_not_answer(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    with FakeRegistry() as silent:
        silent.script("HEAD", "/", Scripted(wait=True))
        make_instance("silent", silent.url)
        began = time.monotonic()
        answer = everywhere(f"{namespace}/web:v1", seconds=1)
        assert time.monotonic() - began < 2
    assert "silent" in at(answer, "silent").seen.problem
    assert at(answer, "guangzhou").seen.state is State.THERE


def test_a_failure_is_told_with_its_task(rule, namespace, source, target):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(target) as closed:
        closed.script("POST", f"/v2/{namespace}/", Scripted(403))
        rule.target.url = closed.url
        rule.target.save()
        task = run(rule)
        found = of_rule(everywhere(f"{namespace}/web:v1"))
    assert found.verdict is Verdict.NOT_YET and found.next_step.startswith("It failed the last time")
    assert found.last is not None
    assert (found.last.outcome, found.last.http_status, found.last.repository.task) == ("failed", 403, task)


def test_what_was_removed_or_replaced_since_is_told(rule, namespace, source, target):
    brought = push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    push(target, f"{namespace}/web", "v1", some_image())
    there = at(everywhere(f"{namespace}/web:v1"), "frankfurt")
    assert there.changed and there.delivery is not None and there.delivery.digest == brought.digest


def test_nothing_is_told_of_instances_that_one_may_not_see(guangzhou, frankfurt, rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    answer = find(f"{namespace}/web:v1", [guangzhou])
    assert [one.place.instance for one in answer.sightings] == [guangzhou]
    assert of_rule(answer).verdict is Verdict.UNKNOWN
    answer = find(f"{namespace}/web:v1", [frankfurt])
    assert not answer.rules and not answer.elsewhere
    assert [one.place.instance for one in answer.sightings] == [frankfurt]
