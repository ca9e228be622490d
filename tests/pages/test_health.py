"""What those who watch the console are told, and nobody else needs to know."""

import pytest
from django.db import OperationalError, connection
from redis import Redis
from rq import SimpleWorker
from rq.cron import CronScheduler

from sync import queue_state
from sync.services import health


def parts(**away):
    return {"database": True, "queue": True, "workers": True, "scheduler": True, "pools": True} | away


def test_alive_asks_nobody(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_come_by_address_and_plain_http(client, settings, monkeypatch, path):
    """As a kubelet or a container's health check does it; neither follows a redirect to a name."""
    monkeypatch.setattr(health, "parts", parts)
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["console.example"], True
    assert client.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert client.head(path, headers={"host": "10.0.0.7:8000"}).content == b""
    assert client.post(path, headers={"host": "10.0.0.7:8000"}).status_code == 405
    assert client.get("/", headers={"host": "10.0.0.7:8000"}).status_code == 400


def test_ready_when_all_is_there(client, monkeypatch):
    monkeypatch.setattr(health, "parts", parts)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


@pytest.mark.parametrize("away", ["database", "queue", "workers", "scheduler"])
def test_not_ready_says_what_is_away(client, monkeypatch, away):
    monkeypatch.setattr(health, "parts", lambda: parts(**{away: False}))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, said in answer.json().items() if said == "away"} == {away}


@pytest.mark.django_db
def test_a_queue_that_is_away_is_seen(monkeypatch):
    def gone():
        raise queue_state.QueueUnreachable("nobody listens")

    monkeypatch.setattr(queue_state, "inspect", gone)
    assert health.parts() == parts(queue=False, workers=False, scheduler=False, pools=False)


@pytest.mark.django_db
def test_a_database_that_is_away_is_seen(monkeypatch):
    def broken(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(connection, "cursor", broken)
    assert health.parts()["database"] is False and health.parts()["pools"] is False


@pytest.mark.django_db
def test_workers_are_there_when_each_queue_is_listened_to(valkey):
    with Redis.from_url(valkey) as server:
        assert health.parts() == parts(workers=False, scheduler=False)
        SimpleWorker(["control", "push"], connection=server).register_birth()
        SimpleWorker(["push:eu", "default:eu"], connection=server).register_birth()
        assert health.parts()["workers"] is False, "what is in default would wait"
        SimpleWorker(["default"], connection=server).register_birth()
        CronScheduler(server).register_birth()
    assert health.parts() == parts()


@pytest.mark.django_db
def test_a_pool_that_nobody_serves_is_told_and_holds_up_nothing_else(rule, valkey, client):
    with Redis.from_url(valkey) as server:
        SimpleWorker(["control", "push", "default"], connection=server).register_birth()
        CronScheduler(server).register_birth()
        rule.pool = "eu"
        rule.save()
        assert health.parts() == parts(pools=False)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["pools"]) == (200, "away") and "eu" not in answer.json().values()
        SimpleWorker(["push:eu", "default:eu"], connection=server).register_birth()
        assert health.parts() == parts()
