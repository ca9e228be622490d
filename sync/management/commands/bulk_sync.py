"""manage.py bulk_sync: runs rules from a shell or a pipeline."""

import getpass
import json
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sync.credentials import CredentialKeyMissing
from sync.models import Status, SyncTask, TaskResource
from sync.oci.errors import OciError
from sync.services import bulk, health, preview

EPILOG = """exit status: 0 the targets hold what the rules promise; 1 something failed or was stopped;
2 wrong use; 3 conflicts, nothing failed; 4 time-out. Without --wait and --foreground: 0 when the tasks are queued."""


class Command(BaseCommand):
    help = "Synchronizes everything that rules match. Progress goes to standard error, results to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        which = parser.add_argument_group("which rules")
        which.add_argument(
            "--rule", action="append", default=[], metavar="[INSTANCE/]NAME", help="may be given several times"
        )
        which.add_argument("--instance", default="", metavar="NAME", help="the enabled rules whose source it is")
        which.add_argument("--all", action="store_true", help="all enabled rules")
        which.add_argument(
            "--resource",
            action="append",
            default=[],
            metavar="REPOSITORY:TAG",
            help="only this, may be given several times",
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="follow the tasks until workers have ended them")
        how.add_argument(
            "--foreground", action="store_true", help="execute in this process; needs no queue and no worker"
        )
        how.add_argument("--dry-run", action="store_true", help="print what would be done, do nothing")
        parser.add_argument(
            "--timeout", type=_seconds, default=float("inf"), metavar="SECONDS", help="for --wait and --foreground"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object and nothing else on standard output"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["timeout"] != float("inf") and not (options["wait"] or options["foreground"]):
            raise CommandError("--timeout goes with --wait or --foreground.", returncode=bulk.EXIT_WRONG_USE)
        try:
            orders = bulk.choose(options["rule"], options["instance"], options["all"], options["resource"])
        except bulk.WrongUse as error:
            raise CommandError(str(error), returncode=bulk.EXIT_WRONG_USE) from None
        code = self._preview(orders, options["json"]) if options["dry_run"] else self._synchronize(orders, options)
        if code:
            sys.exit(code)

    def _synchronize(self, orders: Sequence[bulk.Order], options: dict[str, Any]) -> int:
        deadline = monotonic() + options["timeout"]
        tasks = bulk.start(orders, getpass.getuser(), enqueue=not options["foreground"])
        in_time = True
        code = bulk.EXIT_FULFILLED
        if options["foreground"] or options["wait"]:
            if options["wait"]:
                self._warn_without_workers()
            run = bulk.execute_here if options["foreground"] else bulk.follow
            with _told_to_leave() as leaving, _progress() as watch:
                in_time = run(tasks, watch, deadline, leaving)
            code = bulk.exit_code(tasks) if in_time else bulk.EXIT_TIMEOUT
        elif health.worker_count() is None:
            self.stderr.write("The queue cannot be reached (REDIS_URL); the tasks wait until it is back.")
            code = bulk.EXIT_FAILED
        self._report(tasks, options["json"])
        return code

    def _warn_without_workers(self) -> None:
        if not health.worker_count():
            self.stderr.write("No worker is running; the tasks wait until one does.")

    def _report(self, tasks: Sequence[SyncTask], as_json: bool) -> None:
        summaries = [bulk.summary(task) for task in tasks]
        if as_json:
            self.stdout.write(json.dumps({"tasks": summaries}))
            return
        for task, told in zip(tasks, summaries, strict=True):
            if task.status == Status.WAITING:
                self.stdout.write(f"{told['rule']}: task {task.pk} is queued")
                continue
            self.stdout.write(
                "{rule}: task {id} {status}, {planned} resources in {repositories} repositories: {copied} copied, "
                "{unchanged} unchanged, {conflict} conflicts, {failed} failed, {bytes} bytes in {seconds} s".format(
                    **told
                )
            )
            for line in _failures(task):
                self.stdout.write(f"  {line}")

    def _preview(self, orders: Sequence[bulk.Order], as_json: bool) -> int:
        plans = []
        for order in orders:
            try:
                planned = list(preview.plan(order.rule, order.selection))
            except (OciError, CredentialKeyMissing) as error:
                raise CommandError(f"{order.rule}: {error}", returncode=bulk.EXIT_FAILED) from None
            plans.append((order, planned))
        if as_json:
            self.stdout.write(json.dumps({"plans": [_plan_as_json(order, planned) for order, planned in plans]}))
        else:
            for order, planned in plans:
                self._print_plan(order, planned)
        failed = any(one.error for _, planned in plans for one in planned)
        return bulk.EXIT_FAILED if failed else bulk.EXIT_FULFILLED

    def _print_plan(self, order: bulk.Order, planned: Sequence[preview.Planned]) -> None:
        told = ", ".join(f"{number} {action}" for action, number in preview.counts(planned).items() if number)
        self.stdout.write(f"{order.rule} -> {order.rule.target}: {told or 'nothing matches'}")
        for one in planned:
            action = one.decision.action if one.decision else f"failed: {one.error}"
            self.stdout.write(f"  {one.repository}:{one.tag} -> {one.target_repository}:{one.tag}  {action}")


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


def _plan_as_json(order: bulk.Order, planned: Sequence[preview.Planned]) -> dict[str, Any]:
    return {
        "rule": str(order.rule),
        "target": order.rule.target.name,
        **preview.counts(planned),
        "resources": [
            {
                "repository": one.repository,
                "tag": one.tag,
                "target_repository": one.target_repository,
                "action": one.decision.action if one.decision else "failed",
                "digest": one.decision.digest if one.decision else "",
                "target_digest": one.decision.target_digest if one.decision else "",
                "reason": str(one.error) if one.error else "",
            }
            for one in planned
        ],
    }


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


@contextmanager
def _progress() -> Iterator[bulk.Watch]:
    """A bar for each task on standard error; without a terminal, a line when a task ends."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"), TimeElapsedColumn())
    bars: dict[int, Any] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def watch(task: SyncTask) -> None:
            if task.pk not in bars:
                bars[task.pk] = progress.add_task(task.rule_name, total=None, counts="")
            planned = f"{'' if task.all_planned else 'at least '}{task.planned}"
            counts = f"{task.done} of {planned} resources, {task.failed} failed"
            progress.update(
                bars[task.pk], completed=task.done, total=task.planned if task.all_planned else None, counts=counts
            )
            if not console.is_terminal and not task.is_open:
                console.print(f"{task.rule_name}: {task.get_status_display()}, {counts}")

        yield watch
