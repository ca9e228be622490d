"""One run on one database, from an empty folder to its figures."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

from tests.soak.corpus import Corpus, Size
from tests.soak.faults import Faults
from tests.soak.figures import Figures, read_logs
from tests.soak.hosts import Hosts, two_hosts
from tests.soak.looker import Looker
from tests.soak.parts import FOREVER, READY_SECONDS, Keeper, Part
from tests.soak.shelf import Shelf
from tests.soak.stage import WORKERS, Stage, build
from tests.soak.visitor import Visitor
from tests.support import wait_until

if TYPE_CHECKING:
    from tests.soak.tasks import Desk


@dataclass(frozen=True)
class Order:
    database: str
    seed: int
    kills: int
    size: Size
    two_hosts: bool


def run(order: Order) -> tuple[bool, list[str]]:
    """Whether nothing was wrong, lost or stuck, and the figures. Prints what happens. Raises stage.Missing."""
    figures = Figures(order.seed)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp"))
    with ExitStack() as stack:
        hosts = stack.enter_context(two_hosts()) if order.two_hosts else Hosts("127.0.0.1", left_out="not asked for")
        stage = build(folder, order.database, hosts, order.size.at_once)
        figures.say(f"{order.database}, seed {order.seed}, {order.kills} kills, in {folder}; {_about(hosts)}")
        keeper = _play(stage, order, figures)
    for name in keeper.overstayed:
        figures.is_wrong(f"{name} was told to leave and still there 10 seconds later")
    tracebacks = read_logs(folder / "logs", figures)
    told = [f"{order.database}: {_about(hosts)}", *figures.told(), *_told(keeper, stage), "tracebacks in the logs:"]
    told += [f"  {traceback}" for traceback in tracebacks]
    if figures.good:
        shutil.rmtree(folder)
    else:
        told.append(f"everything is kept in {folder}")
    return figures.good, told


def _about(hosts: Hosts) -> str:
    if hosts.elsewhere:
        return f"{WORKERS // 2} of {WORKERS} workers on a second host (network namespace)"
    return f"{WORKERS} workers on one host; a second one was left out: {hosts.left_out}"


def _told(keeper: Keeper, stage: Stage) -> list[str]:
    fell = ", ".join(f"{number} x {name}" for name, number in sorted(Counter(keeper.fell).items()))
    leaving = f"{max(keeper.leaving_seconds):.1f} s at most" if keeper.leaving_seconds else "nobody was told to"
    return [
        f"workers told to leave were gone after: {leaving}",
        "workers run jobs in their own process: there is no work horse to kill",
        f"ended by themselves and were started again: {fell or 'nobody'}",
        f"files that a kill tore in a registry's storage, mended: {sum(stage.torn)}",
    ]


def _play(stage: Stage, order: Order, figures: Figures) -> Keeper:
    """Everything is started, tried and ended again."""
    corpus = Corpus(order.size, order.seed, Shelf(stage.folder / "source"))
    corpus.fill()
    for part in stage.console:
        part.due = FOREVER
    keeper, ended = Keeper(stage.parts), Event()
    looker, judge = (
        Looker(stage.target_url, stage.target, corpus, figures, Random(f"{order.seed} {name}"))
        for name in ("looker", "judge")
    )
    visitor = Visitor(stage, figures)
    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(keeper.run)]
        try:
            _wait_for(stage.base, threads)
            desk = _furnish(stage, order.size.bytes_per_second)
            for part in stage.console:
                part.due = 0.0
            _wait_for(stage.console, threads)
            threads += [pool.submit(looker.run, ended), pool.submit(visitor.run, ended)]
            faults = Faults(stage, keeper, Random(f"{order.seed} faults"), os.environ["REDIS_URL"])
            from tests.soak.rounds import Round

            Round(stage, corpus, figures, faults, looker, judge, visitor, desk, order, threads).run()
            ended.set()
            for thread in threads[1:]:
                thread.result()
        finally:
            ended.set()
            keeper.stop()
    return keeper


def _wait_for(parts: Sequence[Part], threads: Sequence[Future[None]]) -> None:
    def serving() -> bool:
        for thread in threads:
            if thread.done():
                thread.result()
        return all(part.up for part in parts)

    wait_until(serving, READY_SECONDS, f"{', '.join(part.name for part in parts)} serving")


def _furnish(stage: Stage, bytes_per_second: int) -> "Desk":
    """The console's tables, its instances and a user; the models can be had from now on."""
    django.setup()
    call_command("migrate", verbosity=0)
    from tests.soak.tasks import Desk

    desk = Desk(stage.database)
    desk.furnish(stage.source_url, stage.target_url, bytes_per_second)
    return desk
