"""Limits of an instance, as a task keeps to them."""

import pytest

from demo import artifacts
from sync.models import Status
from tests.replication.support import push, some_image, some_layer
from tests.services.support import run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "valkey")]


def test_a_task_keeps_to_the_bytes_per_second_of_its_instances(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", artifacts.image([some_layer(1_000_000)]))
    rule.target.max_bytes_per_second = 1_000_000
    rule.target.save()
    task = run(rule)
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
    assert task.time_spent is not None
    assert task.time_spent.total_seconds() > 0.8


def test_one_connection_to_each_side_is_enough(rule, namespace, source):
    """Also where both sides are one instance, which has two then: what holds one must get the other."""
    for number in range(3):
        push(source, f"{namespace}/app-{number}", "v1", some_image())
    for target in (rule.target, rule.source):
        rule.target, rule.target_namespace = target, f"{namespace}-copy"
        rule.save()
        for instance in (rule.source, rule.target):
            instance.max_connections = 1
            instance.save()
        task = run(rule)
        assert (task.status, task.copied) == (Status.SUCCEEDED, 3)
