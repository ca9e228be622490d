"""What commands that open tasks share: to follow or to execute them, to tell what came of them, and the exit status."""

import json
import os
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, _MutuallyExclusiveGroup
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.management.progress import progress_of
from sync.models import Status, SyncTask, TaskResource
from sync.services import bulk, health
from sync.services.grants import Suspended
from sync.services.trigger import Opened

EXIT_STATUS = """exit status: 0 the targets hold what the rules promise; 1 something failed or was stopped, or rules
among others were left out because they are suspended; 2 wrong use, or all that were meant are suspended; 3 conflicts,
nothing failed; 4 the time ran out, or the waiting was interrupted, before all had ended: also when a task was still
queued. Without --wait and --foreground: 0 when the tasks are queued, 1 when rules were left out."""


class FollowingCommand(BaseCommand):
    """Progress goes to standard error, results to standard output. held: rules left out of what was asked for."""

    held: Sequence[Suspended] = ()

    def add_following(self, parser: ArgumentParser) -> _MutuallyExclusiveGroup:
        """The options; what is returned takes further ways to run."""
        parser.epilog = EXIT_STATUS
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="follow the tasks until workers have ended them")
        how.add_argument(
            "--foreground", action="store_true", help="execute in this process; needs no queue and no worker"
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            default=float("inf"),
            metavar="SECONDS",
            help="exit status 4 after so long: with --wait the tasks go on, with --foreground they are stopped",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object and nothing else on standard output"
        )
        return how

    def check_following(self, options: dict[str, Any]) -> None:
        """Raises CommandError."""
        if options["timeout"] != float("inf") and not (options["wait"] or options["foreground"]):
            raise CommandError("--timeout goes with --wait or --foreground.", returncode=bulk.EXIT_WRONG_USE)

    def synchronize(self, start: Callable[[], Sequence[Opened]], options: dict[str, Any]) -> int:
        """Opens tasks by `start`, does with them what the options say, and returns the exit status."""
        deadline = monotonic() + options["timeout"]
        opened = start()
        tasks = [one.task for one in opened]
        for one in self.held:
            self.stderr.write(f"Left out: {one.rule} is suspended: {one.reason}")
        self._tell_joined([one.task for one in opened if not one.created], options["foreground"])
        code = bulk.EXIT_FULFILLED
        followed = options["foreground"] or options["wait"]
        if followed:
            code = self._follow(tasks, deadline, options)
        elif health.worker_count() is None:
            self.stderr.write("The queue cannot be reached (REDIS_URL); the tasks wait until it is back.")
            code = bulk.EXIT_FAILED
        with self.heard_to_the_end():
            self._report(tasks, options["json"], followed)
        return bulk.EXIT_FAILED if self.held and code != bulk.EXIT_TIMEOUT else code

    def _follow(self, tasks: Sequence[SyncTask], deadline: float, options: dict[str, Any]) -> int:
        """Until they have ended or the time is up; the exit status."""
        if options["wait"]:
            self._warn_without_workers(tasks)
        run = bulk.execute_here if options["foreground"] else bulk.follow
        with _told_to_leave() as leaving, progress_of(tasks) as watch:
            in_time = run(tasks, watch, deadline, leaving)
            why = "Interrupted" if leaving() else f"The time is up after {options['timeout']:g} s"
        if in_time:
            return bulk.exit_code(tasks)
        self._tell_left(tasks, why)
        return bulk.EXIT_TIMEOUT

    @contextmanager
    def heard_to_the_end(self) -> Iterator[None]:
        """Whoever reads standard output may leave early, as `head` does: the rest is written to nobody."""
        try:
            yield
            self.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _warn_without_workers(self, tasks: Sequence[SyncTask]) -> None:
        if not health.worker_count():
            self.stderr.write("No worker is running; the tasks wait until one does.")
            return
        for said in health.staffing().missing_for({health.Need(task.pool) for task in tasks}):
            self.stderr.write(said)

    def _tell_joined(self, tasks: Sequence[SyncTask], foreground: bool) -> None:
        """A rule has one task over everything: who asks for another joins it."""
        for task in tasks:
            if task.status == Status.WAITING:
                was, here = "was queued already", "it is taken over, and executed here"
            else:
                was, here = "runs already", "this process works along"
            self.stderr.write(
                f"{task.rule_name}: task {task.pk} {was}; {here if foreground else 'no other is opened'}."
            )

    def _tell_left(self, tasks: Sequence[SyncTask], why: str) -> None:
        """What has not ended, or was stopped for it."""
        for task in tasks:
            if task.is_open:
                goes_on = "is still queued" if task.status == Status.WAITING else "goes on"
                self.stderr.write(f"{why}: task {task.pk} of {task.rule_name} {goes_on}.")
            elif task.status == Status.STOPPED:
                self.stderr.write(f"{why}: task {task.pk} of {task.rule_name} was stopped.")

    def _report(self, tasks: Sequence[SyncTask], as_json: bool, followed: bool) -> None:
        summaries = [bulk.summary(task) for task in tasks]
        if as_json:
            suspended = [{"rule": str(one.rule), "reason": one.reason} for one in self.held]
            self.stdout.write(json.dumps({"tasks": summaries} | ({"suspended": suspended} if suspended else {})))
            return
        still = "still " if followed else ""
        for task, told in zip(tasks, summaries, strict=True):
            if task.status == Status.WAITING:
                self.stdout.write(f"{told['rule']}: task {task.pk} is {still}queued")
                continue
            where = " in {repositories} repositories".format(**told) if told["repositories"] is not None else ""
            self.stdout.write(
                f"{told['rule']}: task {task.pk} {task.status}, {task.planned} resources{where}: "
                "{copied} copied, {unchanged} unchanged, {conflict} conflicts, {failed} failed, "
                "{bytes} bytes in {seconds} s".format(**told)
            )
            for line in _failures(task):
                self.stdout.write(f"  {line}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ArgumentTypeError(f"“{text}” is no number of seconds greater than 0")
    return seconds


def _failures(task: SyncTask) -> Iterator[str]:
    if task.reason:
        yield task.reason
    if number := bulk.missing(task):
        yield f"{number} of the resources asked for {'is' if number == 1 else 'are'} not in the source."
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    for resource in failed.select_related("repository").order_by("pk")[:20]:
        yield f"{resource.repository.name}:{resource.tag or '*'}: {resource.reason.rstrip('.')}. {resource.hint}"
    if task.failed > 20:
        yield f"... and {task.failed - 20} more."


@contextmanager
def _told_to_leave() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM are heard once, to stop in good order; a second one ends the process as usual."""
    told = threading.Event()

    def hear(number: int, frame: object) -> None:
        told.set()
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, hear)
    try:
        yield told.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
