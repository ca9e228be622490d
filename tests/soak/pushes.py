"""`python -m tests.soak.pushes`: pushes that registries tell of themselves, on a console with two workers.

Two ways at the same moment, a burst, a burst in which receiver and workers are killed, and pushes to a target that is
off. Nothing may be missing, wrong or failed in the end, and nobody touches anything. From the environment: SEED,
AWAY_SECONDS (600), DATABASES (sqlite,postgresql).
"""

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

from demo import artifacts
from demo.artifacts import Artifact
from demo.content import Tagged, push
from tests.soak.__main__ import DATABASES, run_apart
from tests.soak.figures import Figures, read_logs
from tests.soak.hosts import Hosts
from tests.soak.parts import FOREVER, READY_SECONDS, Keeper, Part
from tests.soak.stage import Missing, Stage, build
from tests.support import wait_until

if TYPE_CHECKING:
    from sync.models import SyncRule

WORKERS = 2
REPOSITORIES = 50
ARRIVAL_SECONDS = 300
MOST_TASKS_OF_A_BURST = 100


@dataclass(frozen=True)
class Size:
    """`pushes` within `seconds`; `away`: seconds for which the target is off."""

    rounds: int
    pushes: int
    seconds: float
    away: float


WHOLE = Size(rounds=20, pushes=1000, seconds=60, away=float(os.environ.get("AWAY_SECONDS") or 600))
PART = Size(rounds=3, pushes=60, seconds=4, away=8)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.pushes", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, help="just this one, in this process")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbelow(1_000_000)))
    parser.add_argument("--part", action="store_true", help="a small one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    if options.database:
        return _run(options.database, options.seed, PART if options.part else WHOLE)
    names = (os.environ.get("DATABASES") or ",".join(DATABASES)).split(",")
    said = ["--seed", str(options.seed), *(["--part"] if options.part else [])]
    statuses = [run_apart("tests.soak.pushes", ["--database", name, *said]) for name in names]
    return 1 if any(statuses) else 0


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _run(database: str, seed: int, size: Size) -> int:
    figures, folder = Figures(seed), Path(tempfile.mkdtemp(prefix="soak-pushes-", dir="/tmp"))
    secret = secrets.token_urlsafe(32)
    try:
        stage = build(folder, database, Hosts("127.0.0.1"), 32, secret)
    except Missing as missing:
        print(f"{database}: left out. {missing}")
        return 1
    figures.say(f"pushes on {database}, seed {seed}, {WORKERS} workers, in {folder}")
    _play(stage, secret, size, figures)
    tracebacks = read_logs(folder / "logs", figures)
    told = [f"wrong {len(figures.wrong)}, lost {len(figures.lost)}", *figures.wrong, *figures.lost]
    print("\n".join(["", f"pushes on {database}:", *told[:30], "tracebacks in the logs:", *tracebacks, ""]), flush=True)
    if figures.good:
        shutil.rmtree(folder)
    return 0 if figures.good else 1


def _play(stage: Stage, secret: str, size: Size, figures: Figures) -> None:
    console = [stage.web, stage.scheduler, *stage.workers[:WORKERS]]
    for part in console:
        part.due = FOREVER
    keeper = Keeper([*stage.base, *console])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(keeper.run)
        try:
            _wait_for(stage.base)
            _furnish(stage, secret)
            for part in console:
                part.due = 0.0
            _wait_for(console)
            Trial(stage, keeper, size, figures).run()
        finally:
            keeper.stop()
        running.result()


def _wait_for(parts: Sequence[Part]) -> None:
    wait_until(lambda: all(part.up for part in parts), READY_SECONDS, f"{[part.name for part in parts]} serving")


def _furnish(stage: Stage, secret: str) -> None:
    django.setup()
    call_command("migrate", verbosity=0)
    from sync.models import Instance

    for name, url in (("source", stage.source_url), ("target", stage.target_url)):
        Instance.objects.create(
            name=name, region=name, url=url, allow_plain_http=True, hook_secret_hash=sha256(secret.encode()).hexdigest()
        )


class Trial:
    def __init__(self, stage: Stage, keeper: Keeper, size: Size, figures: Figures) -> None:
        self._stage, self._keeper, self._size, self._figures = stage, keeper, size, figures
        self._chance = Random(f"{figures.seed} pushes")
        self._made = 0

    def run(self) -> None:
        self._both_ways()
        self._burst("burst", self._nobody)
        self._burst("harm", self._harm)
        self._away()

    def _both_ways(self) -> None:
        """Two different pushes of one tag on both sides at the same moment: the same on both in the end."""
        from sync.models import SyncTask

        self._rule("there", "both", "source", "target", overwrite=True)
        self._rule("back", "both", "target", "source", overwrite=True)
        sides = (self._stage.source_url, self._stage.target_url)
        worst = 0
        for number in range(self._size.rounds):
            before = SyncTask.objects.count()
            pushes = [Thread(target=self._push_later, args=(url, "both/web", "v1")) for url in sides]
            for one in pushes:
                one.start()
            for one in pushes:
                one.join()
            self._rest(f"round {number}")
            if len(held := {_held(url, "both/web", "v1") for url in sides}) != 1:
                self._figures.is_wrong(f"both ways, round {number}: {held}")
            worst = max(worst, SyncTask.objects.count() - before)
        self._figures.say(f"both ways, {self._size.rounds} times: at most {worst} tasks until rest")

    def _push_later(self, url: str, repository: str, tag: str) -> None:
        sleep(self._chance.random() / 2)
        push([Tagged(repository, tag, self._image())], url)

    def _burst(self, name: str, meanwhile: Callable[[], None]) -> None:
        from sync.models import SyncTask

        rule = self._rule(name, name, "source", "target")
        harm = Thread(target=meanwhile)
        harm.start()
        pushed = self._push_many(name, self._size.seconds)
        harm.join()
        seconds = self._arrive(pushed)
        tasks = SyncTask.objects.filter(rule=rule)
        failed = sum(task.failed for task in tasks)
        if failed:
            self._figures.is_wrong(f"{name}: {failed} resources failed")
        if meanwhile == self._nobody and tasks.count() >= MOST_TASKS_OF_A_BURST:
            self._figures.is_wrong(f"{name}: {tasks.count()} tasks")
        self._figures.say(
            f"{name}: {len(pushed)} pushes, {tasks.count()} tasks, all there {seconds:.1f} s after the last"
        )

    def _nobody(self) -> None:
        """Does no harm."""

    def _harm(self) -> None:
        """Receiver and workers are killed, one every so often, as long as pushes come."""
        ends = monotonic() + self._size.seconds
        victims = [self._stage.web, *self._stage.workers[:WORKERS]]
        while monotonic() < ends:
            sleep(self._size.seconds / 8)
            self._keeper.kill(self._chance.choice(victims), pause=self._chance.random() * 2)

    def _away(self) -> None:
        """The target is off while pushes come; it comes back, and nobody does anything."""
        from sync.models import SyncTask

        rule = self._rule("away", "away", "source", "target")
        began = monotonic()
        self._keeper.kill(self._stage.target, pause=self._size.away)
        pushed = self._push_many("away", self._size.away)
        sleep(max(0.0, began + self._size.away - monotonic()))
        wait_until(lambda: self._stage.target.up, READY_SECONDS, "the target's return")
        seconds = self._arrive(pushed)
        tasks = SyncTask.objects.filter(rule=rule)
        if failed := sum(task.failed for task in tasks):
            self._figures.is_wrong(f"away: {failed} resources failed")
        away = f"{self._size.away:.0f} s"
        told = f"{len(pushed)} pushes, {tasks.count()} tasks, all there {seconds:.1f} s after its return"
        self._figures.say(f"target off for {away}: {told}")

    def _rule(self, name: str, namespace: str, source: str, target: str, *, overwrite: bool = False) -> "SyncRule":
        from sync.models import Instance, SyncRule

        sides = {"source": Instance.objects.get(name=source), "target": Instance.objects.get(name=target)}
        return SyncRule.objects.create(name=name, source_namespace=namespace, overwrite=overwrite, **sides)

    def _push_many(self, namespace: str, seconds: float) -> dict[tuple[str, str], str]:
        """At an even pace; what was pushed."""
        began, pace = monotonic(), seconds / self._size.pushes
        pushed: dict[tuple[str, str], str] = {}
        for number in range(self._size.pushes):
            image = self._image()
            repository, tag = f"{namespace}/app-{number % REPOSITORIES:02}", f"v{number // REPOSITORIES}"
            push([Tagged(repository, tag, image)], self._stage.source_url)
            pushed[repository, tag] = image.digest
            sleep(max(0.0, began + number * pace - monotonic()))
        return pushed

    def _image(self) -> Artifact:
        self._made += 1
        layer = artifacts.layer({"number": f"{self._figures.seed} {self._made} {self._chance.random()}".encode()})
        return artifacts.image([layer], platform="linux/amd64")

    def _arrive(self, pushed: dict[tuple[str, str], str]) -> float:
        """Seconds until all is there; what is not there in time is lost."""
        began, left = monotonic(), dict(pushed)
        while left and monotonic() - began < ARRIVAL_SECONDS:
            left = {key: digest for key, digest in left.items() if _held(self._stage.target_url, *key) != digest}
            sleep(0.2)
        self._figures.lost += [f"{repository}:{tag}" for repository, tag in left]
        return monotonic() - began

    def _rest(self, what: str) -> None:
        """Until nothing is told, waits or runs any more."""
        from sync.models import OPEN, Notification, SyncTask

        def at_rest() -> bool:
            waiting = Notification.objects.filter(handled_at=None).exists()
            return not (waiting or SyncTask.objects.filter(status__in=OPEN).exists())

        def stays_at_rest() -> bool:
            for _ in range(4):  # registries tell a moment later
                if not at_rest():
                    return False
                sleep(0.25)
            return True

        wait_until(stays_at_rest, ARRIVAL_SECONDS, f"rest after {what}")


def _held(url: str, repository: str, tag: str) -> str:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        headers = {"Accept": artifacts.OCI_MANIFEST}
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=headers)
        return connection.getresponse().headers.get("Docker-Content-Digest", "")


if __name__ == "__main__":
    sys.exit(main())
