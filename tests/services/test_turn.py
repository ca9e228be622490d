"""How long a worker's turn may take."""

import pytest

from sync.services import turn


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(turn, "monotonic", lambda: now[0])
    return now


def test_a_turn_ends_in_time_when_others_wait(clock):
    time = turn._Time(10, lambda: True)
    clock[0] = 109
    assert not time.is_up()
    clock[0] = 110
    assert time.is_up()


def test_a_turn_goes_on_while_nobody_waits_but_not_for_ever(clock):
    asked: list[int] = []

    def nobody_waits() -> bool:
        asked.append(clock[0])
        return False

    time = turn._Time(10, nobody_waits)
    ups = []
    for clock[0] in range(100, 171):
        ups.append(time.is_up())
    assert ups.index(True) == 60 and all(ups[60:])
    # Once in the time of a turn, for each look costs the queue's server a question.
    assert asked == [110, 120, 130, 140, 150]


def test_a_turn_that_is_over_stays_over(clock):
    answers = [True, False]
    time = turn._Time(10, lambda: answers.pop(0))
    clock[0] = 110
    assert time.is_up()
    clock[0] = 125
    assert time.is_up()
    assert answers == [False]


def test_who_has_no_connection_is_seen_as_soon_as_the_turn_has_lasted_its_time(clock):
    crowded = [False]
    time = turn._Time(10, lambda: False, lambda: crowded[0])
    crowded[0], clock[0] = True, 109
    assert not time.is_up()
    crowded[0], clock[0] = False, 113
    assert not time.is_up()
    crowded[0], clock[0] = True, 114
    assert time.is_up()


def test_what_a_worker_found_out_about_two_instances_is_kept_for_its_next_turn():
    known = turn.kept_width(991, 992, 32)
    known.beat(1000.0)
    assert turn.kept_width(991, 992, 32).now == 24
    assert turn.kept_width(991, 993, 32).now == turn.kept_width(991, 992, 16).now == 12
