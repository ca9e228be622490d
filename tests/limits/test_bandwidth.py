"""Bytes per second, on a real server."""

import threading

import pytest

from sync import queue
from sync.limits import server
from sync.limits.bandwidth import BATCH_SECONDS, Budget
from sync.oci.guest import PACED_BLOCK

RATE = 10_000_000


@pytest.mark.usefixtures("valkey")
def test_what_is_over_the_rate_waits_and_two_budgets_of_an_instance_wait_for_each_other():
    first, second, another = Budget(1, RATE), Budget(1, RATE), Budget(2, RATE)
    assert first.spend(RATE) == pytest.approx(1 - BATCH_SECONDS, abs=0.1)
    assert second.spend(RATE) == pytest.approx(2 - BATCH_SECONDS, abs=0.1)
    assert another.spend(PACED_BLOCK) == 0.0


@pytest.mark.usefixtures("valkey")
def test_the_server_is_asked_for_a_batch_not_for_each_block(monkeypatch):
    asked = []

    def ask(script: str, key: str, *values: float) -> object:
        asked.append(values)
        return server.ask(script, key, *values)

    monkeypatch.setattr("sync.limits.bandwidth.ask", ask)
    budget = Budget(1, RATE)
    for _ in range(RATE // PACED_BLOCK):
        budget.spend(PACED_BLOCK)
    assert len(asked) <= 1.2 / BATCH_SECONDS


@pytest.mark.usefixtures("valkey")
def test_nothing_is_kept_of_what_nobody_used():
    budget = Budget(1, RATE)
    budget.spend(PACED_BLOCK)
    threading.Event().wait(0.3)
    assert Budget(1, RATE).spend(RATE) > 0.8


@pytest.mark.usefixtures("valkey")
def test_after_a_jump_of_the_clock_nobody_waits_for_ever():
    queue.server().set("tcrconsole:bytes:1", "9999999999999")
    assert Budget(1, RATE).spend(PACED_BLOCK) < 400


def test_without_the_server_each_keeps_to_the_rate_by_himself(unreachable, monkeypatch):
    monkeypatch.setattr(queue, "server", lambda: unreachable)
    budget = Budget(1, RATE)
    assert budget.spend(RATE) == pytest.approx(1 - BATCH_SECONDS, abs=0.1)
    assert budget.spend(RATE) == pytest.approx(2 - BATCH_SECONDS, abs=0.1)
