"""Ten want the same thing: one does it, the others wait for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from sync.replication.single import SingleFlight
from tests.support import wait_until

THREADS = 10


class Refused(Exception):
    """The work fails."""


def ask_for_one_thing(work: Callable[[], None]) -> list[bool | None]:
    """What `do` told each thread, None where it raised. `work` begins when all of them have come."""
    flight = SingleFlight()
    came: list[int] = []

    def begin() -> None:
        wait_until(lambda: len(came) == THREADS, 10, "all threads coming")
        work()

    def ask(number: int) -> bool | None:
        came.append(number)
        try:
            return flight.do("thing", begin)
        except Refused:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ask, range(THREADS)))


def test_exactly_one_does_it_and_is_told_so():
    runs: list[str] = []
    told = ask_for_one_thing(lambda: runs.append("run"))
    assert (told.count(True), told.count(False)) == (1, THREADS - 1)
    assert runs == ["run"]


def test_nobody_goes_on_before_it_is_done():
    flight, begun, done = SingleFlight(), Event(), Event()

    def work() -> None:
        begun.set()
        wait_until(lambda: len(coming) == THREADS - 1, 10, "the others coming")
        done.set()

    def come(number: int) -> bool:
        begun.wait(10)
        coming.append(number)
        flight.do("thing", work)
        return done.is_set()

    coming: list[int] = []
    with ThreadPoolExecutor(THREADS) as pool:
        first = pool.submit(flight.do, "thing", work)
        assert all(pool.map(come, range(THREADS - 1)))
    assert first.result()


def test_a_failure_lets_the_next_one_try():
    runs: list[str] = []

    def fail_at_first() -> None:
        runs.append("run")
        if len(runs) == 1:
            raise Refused

    told = ask_for_one_thing(fail_at_first)
    assert (told.count(None), told.count(True), told.count(False)) == (1, 1, THREADS - 2)
    assert len(runs) == 2


def test_different_things_are_done_at_the_same_time():
    flight, both = SingleFlight(), [Event(), Event()]

    def do(number: int) -> bool:
        def work() -> None:
            both[number].set()
            wait_until(both[1 - number].is_set, 10, "the other one beginning")

        return flight.do(number, work)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(do, (0, 1)))
