"""Requests in a minute are counted over all processes, and by each for itself while the queue is away."""

from uuid import uuid4

import pytest

from sync.limits import requests, server


@pytest.fixture
def somebody() -> str:
    return uuid4().hex


def asked(who: str, times: int, at_most: int = 3) -> list[bool]:
    return [requests.seconds_to_wait(who, at_most) == 0 for _ in range(times)]


@pytest.mark.usefixtures("valkey")
def test_so_many_and_no_more_whichever_process_is_asked(somebody, monkeypatch):
    monkeypatch.setattr(server, "_away_until", 0.0)
    assert asked(somebody, 5) == [True, True, True, False, False]
    assert 0 < requests.seconds_to_wait(somebody, 3) <= 60
    assert asked(uuid4().hex, 1) == [True]
    assert somebody not in requests._counted


def test_without_the_server_each_process_counts(somebody, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(requests, "ask", lambda *_: None)
    monkeypatch.setattr(requests, "monotonic", lambda: now)
    assert asked(somebody, 5) == [True, True, True, False, False]
    now += 59.5
    assert requests.seconds_to_wait(somebody, 3) == 1
    now += 0.5
    assert asked(somebody, 4) == [True, True, True, False]


def test_nothing_is_remembered_for_ever(monkeypatch):
    monkeypatch.setattr(requests, "ask", lambda *_: None)
    for number in range(2 * requests.REMEMBERED):
        requests.seconds_to_wait(f"{number}", 3)
    assert len(requests._counted) <= requests.REMEMBERED


def test_0_is_no_limit(somebody):
    assert all(asked(somebody, 100, at_most=0))
