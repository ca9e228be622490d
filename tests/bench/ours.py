"""The console's two ways to run a rule: the command, and workers.

The models are needed: to be imported within `tests.bench.console.prepared` only.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django_rq
from rq import Worker as AnyWorker

from sync.models import Instance, Status, SyncRule, SyncTask
from sync.queue import SWEEP_JOB
from sync.services import bulk
from tcrconsole.runner import PROJECT
from tests.bench.lane import Lane
from tests.bench.measure import LIMIT_SECONDS, Failed, Running, Usage, run_timed
from tests.support import wait_until

WORKER = "rqworker control push default --worker-class sync.queue.Worker --verbosity 0"  # as in the Procfile
PROFILED = Path(__file__).with_name("profiled.py")
READY_SECONDS = 60
UNLIMITED = {"region": "bench", "max_connections": 0}
# Of each of a team's workers: few, so that the network limits one alone, and not this machine all four.
CALLS_OF_A_TEAM = "8"


def rule_for(lane: Lane) -> SyncRule:
    """A target that is new to the lane is new to the console as well."""
    source, target = (
        Instance.objects.get_or_create(url=url, defaults=UNLIMITED | {"name": f"{side}-{lane.name}"})[0]
        for side, url in (("source", lane.source_url), ("target", lane.target_url))
    )
    rule, _ = SyncRule.objects.get_or_create(
        name=lane.name, source=source, target=target, source_namespace=lane.namespace
    )
    return rule


@dataclass(frozen=True)
class Command:
    """The whole command, with a fresh interpreter each time. `profile`: where cProfile's figures go, a prefix."""

    profile: str = ""
    name: str = "ours, command"

    def sync(self, lane: Lane) -> Usage:
        rule = rule_for(lane)
        profiled = [str(PROFILED), f"{self.profile}{lane.name}.{lane.phase}"] if self.profile else []
        words = f"manage.py bulk_sync --rule {rule} --foreground{' --quick' * (lane.phase == 'quick')}"
        return run_timed([sys.executable, *profiled, *words.split()])


@dataclass(frozen=True)
class Workers:
    """Worker processes that are up already. `log`: what they say."""

    processes: list[subprocess.Popen[bytes]]
    log: Path
    name: str = "ours, worker"

    def sync(self, lane: Lane) -> Usage:
        """From the triggering to the end of the task, both as stored in the database. The peak is that of one."""
        running = [Running(process.pid) for process in self.processes]
        for one in running:
            one.forget_peak()
        cpu = sum(one.cpu for one in running)
        task = self._follow(rule_for(lane), quick=lane.phase == "quick")
        assert task.finished_at is not None
        wall = (task.finished_at - task.created_at).total_seconds()
        return Usage(wall, sum(one.cpu for one in running) - cpu, max(one.peak for one in running))

    def _follow(self, rule: SyncRule, *, quick: bool) -> SyncTask:
        (opened,) = bulk.start([bulk.Order(rule)], "bench", quick=quick, enqueue=True)
        task = opened.task

        def ended() -> bool:
            if any(process.poll() is not None for process in self.processes):
                raise Failed(f"A worker ended by itself. It said last:\n{self.log.read_text()[-2000:]}")
            task.refresh_from_db()
            return not task.is_open

        wait_until(ended, LIMIT_SECONDS, f"the end of task {task.pk}")
        if task.status != Status.SUCCEEDED:
            raise Failed(f"Task {task.pk} ended as {task.status}: {task.failed} failed. {task.reason}")
        return task


@contextmanager
def workers(folder: Path, number: int = 1, **settings: str) -> Iterator[Workers]:
    log = folder / "workers.log"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("ab") as output:
            for _ in range(number):
                command = [sys.executable, "manage.py", *WORKER.split()]
                environment = os.environ | settings
                processes.append(subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output))
        wait_until(lambda: _have_worked(number), READY_SECONDS, "every worker's first job")
        yield Workers(processes, log)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(READY_SECONDS)


def _have_worked(number: int) -> bool:
    """Whether all have done a job. A sweep, for as long as one has not: they take turns."""
    queue = django_rq.get_queue("control")
    seen = AnyWorker.all(connection=queue.connection)
    if not queue.is_empty():
        return False
    if sum(bool(worker.successful_job_count) for worker in seen) == number:
        return True
    queue.enqueue(SWEEP_JOB)
    return False


@dataclass(frozen=True)
class Team:
    """So many workers, which come for each run and go again."""

    folder: Path
    number: int

    @property
    def name(self) -> str:
        return "1 worker" if self.number == 1 else f"{self.number} workers"

    def sync(self, lane: Lane) -> Usage:
        calls = os.environ.get("CALLS_AT_ONCE", CALLS_OF_A_TEAM)
        with workers(self.folder, self.number, CALLS_AT_ONCE=calls) as team:
            return team.sync(lane)
