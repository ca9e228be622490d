"""What those who watch the console are told, and nobody else needs to know."""

import pytest
from django.db import OperationalError, connection

from sync import queue
from sync.services import health


def parts(**away):
    return {"database": True, "queue": True, "workers": True, "scheduler": True} | away


def test_alive_asks_nobody(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer.headers["Cache-Control"]


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
        raise queue.QueueUnreachable("nobody listens")

    monkeypatch.setattr(queue, "inspect", gone)
    assert health.parts() == {"database": True, "queue": False, "workers": False, "scheduler": False}


@pytest.mark.django_db
def test_a_database_that_is_away_is_seen(monkeypatch):
    def broken(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(connection, "cursor", broken)
    assert health.parts()["database"] is False
