"""What workers tell each other through the queue's server."""

import pytest
from redis.exceptions import RedisError

from sync import queue
from sync.replication.whereabouts import Hints
from sync.shared import LOOK, shared_hints
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("valkey")
ONE, TWO = "sha256:1", "sha256:2"


def test_one_of_two_workers_moves_a_digest_and_the_other_mounts_it():
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        ours.look_up([ONE, TWO])
        assert ours.claim(ONE)
        assert not theirs.claim(ONE)
        ours.keeps(ONE, "prod/web")
        wait_until(lambda: theirs.claim(ONE))
        assert theirs.kept_in(ONE) == "prod/web"
        assert not theirs.kept_in(TWO)


def test_where_a_digest_was_thought_to_be_is_put_right_for_all():
    with shared_hints(1, Hints()) as ours:
        assert ours.claim(ONE)
        ours.keeps(ONE, "gone/repo")
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        wait_until(lambda: ours.claim(ONE) and ours.kept_in(ONE) == "gone/repo")
        ours.forget(ONE)
        ours.keeps(ONE, "new/repo")
        wait_until(lambda: theirs.claim(ONE) and theirs.kept_in(ONE) == "new/repo")


def test_what_is_given_up_is_for_the_next():
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        assert ours.claim(ONE)
        ours.give_up(ONE)
        wait_until(lambda: theirs.claim(ONE))
        assert not theirs.kept_in(ONE)


def test_what_is_given_up_and_claimed_again_at_once_stays_ours():
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        assert ours.claim(ONE) and ours.claim(TWO)
        ours.give_up(ONE)
        ours.give_up(TWO)
        assert ours.claim(ONE)
        wait_until(lambda: theirs.claim(TWO))
        assert not theirs.claim(ONE)


def test_who_ends_holds_nobody_up():
    with shared_hints(1, Hints()) as ours:
        ours.look_up([ONE])
    with shared_hints(1, Hints()) as theirs:
        assert theirs.claim(ONE)


def test_targets_are_apart():
    with shared_hints(1, Hints()) as ours, shared_hints(2, Hints()) as theirs:
        assert ours.claim(ONE)
        assert theirs.claim(ONE)


def test_a_claim_of_one_who_is_gone_expires(monkeypatch):
    monkeypatch.setattr("sync.shared.CLAIM_SECONDS", 1)
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        monkeypatch.setattr(ours, "_claimed", set())  # it renews nothing, as if it were dead
        ours._ask(LOOK, [ONE])
        assert not theirs.claim(ONE)
        wait_until(lambda: theirs.claim(ONE))


def test_without_the_server_everybody_goes_on(monkeypatch, caplog):
    def refused(*_: object) -> object:
        raise RedisError("connection refused")

    monkeypatch.setattr(type(queue.server()), "eval", refused)
    with shared_hints(1, Hints()) as ours, shared_hints(1, Hints()) as theirs:
        for hints in (ours, theirs):
            hints.look_up([ONE])
            assert hints.claim(ONE)
        ours.keeps(ONE, "prod/web")
        assert ours.kept_in(ONE) == "prod/web"
    assert "do not hear of each other" in caplog.text
