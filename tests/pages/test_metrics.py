"""What Prometheus gets, and who else does."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis
from rq import SimpleWorker
from rq.cron import CronScheduler

from sync import queue, queue_state
from sync.models import Delivery, Instance, Lag, Notification, Status, SyncTask, TaskRepository, TaskResource, Trigger
from sync.services import lag, tallies

pytestmark = pytest.mark.django_db


def figures(response):
    lines = response.content.decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_strangers_get_nothing(client, settings):
    settings.METRICS_TOKEN = "the-token"
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "the-token"},
    ):
        refused = client.get("/metrics", headers=headers)
        assert refused.status_code == 401
        assert b"tcrconsole_" not in refused.content


def test_without_a_token_in_the_settings_no_token_opens(client, settings):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_the_token_opens(client, settings, monkeypatch):
    def away():
        raise queue_state.QueueUnreachable("nobody listens")

    monkeypatch.setattr(queue_state, "inspect", away)
    settings.METRICS_TOKEN = "the-token"
    shown = client.get("/metrics", headers={"Authorization": "Bearer the-token"})
    assert shown.headers["Content-Type"].startswith("text/plain")
    assert figures(shown)["tcrconsole_queue_up"] == "0.0"


def test_lags_and_what_waits(admin_client, rule):
    for seconds in (1, 2, 30):
        Lag.objects.create(rule=rule, seconds=seconds)
    lag.refresh()
    SyncTask.objects.create(
        rule=rule,
        source=rule.source,
        snapshot=rule.snapshot(),
        trigger=Trigger.PUSH,
        status=Status.WAITING,
        notified_at=timezone.now() - timedelta(seconds=90),
    )
    Notification.objects.create(instance=rule.source, repository="a/b", tag="v1")
    shown = figures(admin_client.get("/metrics"))
    labels = f'rule="{rule.name}",source="{rule.source.name}"'
    of_rule = [f'tcrconsole_lag_seconds{{figure="{name}",{labels}}}' for name in ("median", "p95", "worst")]
    assert [float(shown[name]) for name in of_rule] == [2, 30, 30]
    assert 90 <= float(shown[f"tcrconsole_oldest_push_seconds{{{labels}}}"]) < 100
    assert shown["tcrconsole_notifications_waiting"] == "1.0"
    assert shown['tcrconsole_open_tasks{status="waiting"}'] == "1.0"


def ended(rule, status, **counts):
    task = SyncTask.objects.create(
        rule=rule, source=rule.source, target=rule.target, snapshot=rule.snapshot(), trigger="manual", **counts
    )
    task.close(status)
    tallies.task_ended(task)


def test_what_became_of_tasks_and_resources_is_summed_up(admin_client, rule):
    ended(rule, Status.SUCCEEDED, copied=3, unchanged=2, moved_bytes=5000)
    ended(rule, Status.PARTIAL, copied=1, failed=1, moved_bytes=70)
    SyncTask.objects.create(
        rule=rule,
        source=rule.source,
        target=rule.target,
        snapshot={},
        trigger="push",
        status="synchronizing",
        copied=10,
    )
    tallies.failed(rule.source_id, {"ServerFault": 2})
    tallies.failed(rule.source_id, {"ServerFault": 1, "TooManyRequests": 4})
    shown = figures(admin_client.get("/metrics"))
    sides = f'source="{rule.source.name}",', f',target="{rule.target.name}"'
    assert shown[f'tcrconsole_tasks_total{{{sides[0]}status="succeeded"{sides[1]}}}'] == "1.0"
    assert shown[f'tcrconsole_tasks_total{{{sides[0]}status="partial"{sides[1]}}}'] == "1.0"
    assert shown[f'tcrconsole_resources_total{{outcome="copied",{sides[0][:-1]}{sides[1]}}}'] == "14.0"
    assert shown[f'tcrconsole_resources_total{{outcome="failed",{sides[0][:-1]}{sides[1]}}}'] == "1.0"
    assert shown[f"tcrconsole_moved_bytes_total{{{sides[0][:-1]}{sides[1]}}}"] == "5070.0"
    errors = {key: value for key, value in shown.items() if "registry_errors_total" in key}
    assert sorted(errors.values()) == ["3.0", "4.0"]
    SyncTask.objects.all().delete()
    kept = figures(admin_client.get("/metrics"))
    assert kept[f'tcrconsole_tasks_total{{{sides[0]}status="succeeded"{sides[1]}}}'] == "1.0", (
        "pruning takes nothing away"
    )


def test_no_label_shadows_what_prometheus_sets(admin_client, rule):
    """It would rename ours to exported_instance; dashboards and alerts would name the console for a registry."""
    tallies.failed(rule.source_id, {"ServerFault": 2})
    Instance.objects.update(password_expires_on=timezone.now().date(), encrypted_password="x")
    shown = figures(admin_client.get("/metrics"))
    assert any(name.startswith("tcrconsole_registry_errors_total{") for name in shown)
    assert any(name.startswith("tcrconsole_credential_expires_seconds{") for name in shown)
    assert [name for name in shown if re.search(r"[{,](instance|job)=", name)] == []


def test_the_first_failure_is_a_growth(admin_client, rule):
    failures = f'tcrconsole_tasks_total{{source="{rule.source.name}",status="failed",target="{rule.target.name}"}}'
    assert figures(admin_client.get("/metrics"))[failures] == "0.0"
    ended(rule, Status.FAILED)
    assert figures(admin_client.get("/metrics"))[failures] == "1.0"


def test_queues_pools_and_the_scheduler(admin_client, rule, valkey):
    Instance.objects.filter(pk=rule.target_id).update(pool="eu", down_since=timezone.now())
    with Redis.from_url(valkey) as server:
        SimpleWorker(["control", "push", "default"], connection=server).register_birth()
        CronScheduler(server).register_birth()
    queue.enqueue_task(1, "default:eu")
    SyncTask.objects.create(rule=rule, snapshot={}, trigger="push", created_at=timezone.now() - timedelta(seconds=60))
    shown = figures(admin_client.get("/metrics"))
    assert shown['tcrconsole_queue_jobs{queue="default:eu"}'] == "1.0"
    assert shown['tcrconsole_queue_jobs{queue="control"}'] == "0.0"
    assert shown['tcrconsole_pool_workers{pool="default"}'] == "1.0"
    assert shown['tcrconsole_pool_workers{pool="eu"}'] == "0.0"
    assert shown["tcrconsole_schedulers"] == "1.0"
    assert 0 <= float(shown["tcrconsole_scheduler_heartbeat_seconds"]) < 30
    assert 60 <= float(shown["tcrconsole_oldest_waiting_task_seconds"]) < 90
    assert shown[f'tcrconsole_instance_up{{registry="{rule.target.name}"}}'] == "0.0"
    assert shown[f'tcrconsole_instance_up{{registry="{rule.source.name}"}}'] == "1.0"


def test_figures_cost_the_same_however_much_there_is(admin_client, rule, valkey):
    """None reads a row of a resource or a repository, nor one for each task that ended."""

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            admin_client.get("/metrics")
        return [one["sql"] for one in asked]

    before = statements()
    for number in range(3):
        ended(rule, Status.SUCCEEDED, copied=number)
    after = statements()
    assert len(after) == len(before)
    for table in (TaskResource, TaskRepository, Delivery):
        assert not any(f'"{table._meta.db_table}"' in one for one in after), table
