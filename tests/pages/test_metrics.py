"""What Prometheus gets, and who else does."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync import queue
from sync.models import Lag, Notification, Status, SyncTask, Trigger
from sync.services import lag

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
        raise queue.QueueUnreachable("nobody listens")

    monkeypatch.setattr(queue, "inspect", away)
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
