"""What is remembered from task to task, so that the next one asks less and moves nothing twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from demo import artifacts
from sync.models import Delivery, Status
from tests.replication import support
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule, run
from tests.support import Relay

pytestmark = pytest.mark.django_db


def through(relay: Relay, instance):
    """The instance is reached through the relay, which records."""
    instance.url = relay.url
    instance.save()


def test_what_one_task_brought_another_ones_rule_mounts(rule, guangzhou, frankfurt, namespace, source, target, judge):
    image = push(source, f"{namespace}/web", "v1", some_image())
    assert run(rule).moved_bytes > 0
    other = make_rule(
        guangzhou, frankfurt, name="other", source_namespace=namespace, target_namespace=f"mirror-{namespace}"
    )
    task = run(other)
    assert (task.status, task.copied, task.moved_bytes) == (Status.SUCCEEDED, 1, 0)
    assert judge.digest(target, f"mirror-{namespace}/web:v1") == image.digest


def test_each_target_has_a_memory_of_its_own(rule, guangzhou, namespace, source, start_registry):
    push(source, f"{namespace}/web", "v1", some_image())
    moved = run(rule).moved_bytes
    paris = make_instance("paris", start_registry().url)
    with Relay(paris.url) as relay:
        through(relay, paris)
        task = run(make_rule(guangzhou, paris, name="other", source_namespace=namespace, target_namespace="mirror"))
        assert all("from=mirror%2Fweb" in one.target for one in relay.received("POST"))
    assert (task.copied, task.moved_bytes) == (1, moved)


def test_a_known_digest_is_not_read_again_to_learn_its_type(rule, namespace, source):
    for tag, artifact in (("v1", some_image()), ("v2", support.some_index())):
        push(source, f"{namespace}/web", tag, artifact)
    rule.charts = False
    rule.save()
    with Relay(source) as relay:
        through(relay, rule.source)
        assert run(rule).copied == 2
        assert relay.received("GET", f"/v2/{namespace}/web/manifests/")
        relay.requests.clear()
        assert run(rule).unchanged == 2
        assert relay.received("GET", f"/v2/{namespace}/web/manifests/") == []
        assert len(relay.received("HEAD", f"/v2/{namespace}/web/manifests/")) == 2


def test_a_tag_that_became_a_type_that_is_left_out_is_noticed(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.charts, rule.overwrite = False, True
    rule.save()
    assert run(rule).copied == 1
    push(source, f"{namespace}/web", "v1", support.some_chart())
    task = run(rule)
    assert (task.planned, task.copied, task.repositories.get().left_out) == (0, 0, 1)


def test_what_was_equal_at_the_first_look_is_a_delivery_not_brought_by_us(rule, namespace, source, target):
    same, new = some_image(), some_image()
    for url in (source, target):
        push(url, f"{namespace}/web", "same", same)
    push(source, f"{namespace}/web", "new", new)
    task = run(rule)
    assert (task.copied, task.unchanged) == (1, 1)
    told = {one.tag: (one.digest, one.brought) for one in Delivery.objects.all()}
    assert told == {"same": (same.digest, False), "new": (new.digest, True)}


def test_a_late_signature_of_what_was_there_already_is_not_brought_by_us(rule, namespace, source, target):
    image = some_image()
    for url in (source, target):
        push(url, f"{namespace}/web", "v1", image)
    signature = support.sign(source, f"{namespace}/web", image)
    assert signature.digest != artifacts.fallback_tag(image)
    assert run(rule).copied == 1
    assert not Delivery.objects.get().brought


def test_conflicts_and_failures_are_no_deliveries(rule, namespace, source, target):
    for url in (source, target):
        push(url, f"{namespace}/web", "v1", some_image())
    assert run(rule).conflict == 1
    assert not Delivery.objects.exists()


def test_another_target_starts_anew(rule, namespace, source, start_registry, monkeypatch):
    image = push(source, f"{namespace}/web", "v1", some_image())
    rule.charts = False
    rule.save()
    run(rule)
    paris = rule.target = make_instance("paris", start_registry().url)
    rule.save()
    push(paris.url, f"{namespace}/web", "v1", image)
    monkeypatch.setattr("sync.replication.plan.Kinds._known", {})
    with Relay(source) as relay:
        through(relay, rule.source)
        assert run(rule).unchanged == 1
        assert relay.received("GET", f"/v2/{namespace}/web/manifests/{image.digest}")
    known = Delivery.objects.values_list("target__name", "digest", "brought")
    assert sorted(known) == [("frankfurt", image.digest, True), ("paris", image.digest, False)]


@pytest.fixture
def quickly(rule):
    def run_quickly(**options):
        return run(rule, quick=True, **options)

    return run_quickly


def heads(relay: Relay) -> int:
    return len(relay.received("HEAD"))


def test_a_quick_check_does_not_ask_the_target_for_what_was_verified(rule, quickly, namespace, source, target):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    assert run(rule).copied == 2
    with Relay(target) as relay:
        through(relay, rule.target)
        assert quickly().unchanged == 2
        assert heads(relay) == 0
        assert run(rule).unchanged == 2
        assert heads(relay) == 2


def test_a_quick_check_trusts_a_list_of_tags_that_the_rule_names(rule, quickly, namespace, source, target):
    rule.tag_pattern = "v1|v2|v3"
    rule.save()
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    assert run(rule).copied == 2
    with Relay(target) as relay:
        through(relay, rule.target)
        assert quickly().unchanged == 2
        assert (heads(relay), len(relay.received("GET", f"/v2/{namespace}/web/tags/list"))) == (0, 1)


def test_the_target_is_listed_only_where_that_spares_looking(rule, quickly, namespace, source, target):
    """In full, what was verified is looked for all the same: a list would be one question more."""
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(target) as relay:
        through(relay, rule.target)

        def lists() -> int:
            found = len(relay.received("GET", f"/v2/{namespace}/web/tags/list"))
            relay.requests.clear()
            return found

        assert (run(rule).copied, lists()) == (1, 1)
        assert (run(rule).unchanged, lists()) == (1, 0)
        assert (quickly().unchanged, lists()) == (1, 1)
        for number in range(21):
            push(source, f"{namespace}/web", f"v2.{number}", some_image())
        assert (run(rule).copied, lists()) == (21, 1)


def test_a_quick_check_sees_what_the_source_has_now(rule, quickly, namespace, source, target, judge):
    rule.overwrite = True
    rule.save()
    push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    moved = push(source, f"{namespace}/web", "v1", some_image())
    new = push(source, f"{namespace}/web", "v2", some_image())
    task = quickly()
    assert (task.status, task.copied) == (Status.SUCCEEDED, 2)
    assert judge.digest(target, f"{rule.target_namespace or namespace}/web:v1") == moved.digest
    assert judge.digest(target, f"{rule.target_namespace or namespace}/web:v2") == new.digest


def test_a_quick_check_looks_again_at_what_was_verified_days_ago(rule, quickly, namespace, source, target):
    push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    long_ago = timezone.now() - timedelta(days=2)
    rule.tasks.update(started_at=long_ago)
    Delivery.objects.update(delivered_at=long_ago)
    with Relay(target) as relay:
        through(relay, rule.target)
        assert quickly().unchanged == 1
        assert heads(relay) == 1
        # A quick check proves nothing for the next one; a full one does.
        run(rule)
        relay.requests.clear()
        quickly()
        assert heads(relay) == 0


def test_a_quick_check_trusts_nothing_where_a_full_one_found_a_conflict(rule, quickly, namespace, source, target):
    push(source, f"{namespace}/web", "v1", some_image())
    run(rule)
    push(target, f"{rule.target_namespace or namespace}/web", "v1", some_image())
    assert run(rule).conflict == 1
    assert quickly().conflict == 1
