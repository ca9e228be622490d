"""How far tasks are, on standard error: a bar for each and one for all, or lines where there is no terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sync.models import SyncTask
from sync.services import bulk, waiting

WAITING_ASKED_EVERY_SECONDS = 1.0


@contextmanager
def progress_of(tasks: Sequence[SyncTask]) -> Iterator[bulk.Watch]:
    """What is given shows one of the tasks as it is now; without a terminal, it writes a line when that ends."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"), TimeElapsedColumn())
    reasons = _Reasons(console.print)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = _Bars(progress, tasks)

        def watch(task: SyncTask) -> None:
            bars.show(task)
            reasons(task)
            if not console.is_terminal and bars.has_just_ended(task):
                console.print(f"{task.rule_name}: {task.get_status_display()}, {counts_of([task])}{bars.ended}")

        yield watch


def counts_of(tasks: Sequence[SyncTask]) -> str:
    planned = sum(task.planned for task in tasks)
    at_least = "" if all(task.all_planned for task in tasks) else "at least "
    done, failed = sum(task.done for task in tasks), sum(task.failed for task in tasks)
    return f"{done} of {at_least}{planned} resources, {failed} failed"


class _Bars:
    """One for each task, and below them one for all where there are several."""

    def __init__(self, progress: Progress, tasks: Sequence[SyncTask]) -> None:
        self._progress, self._tasks = progress, tasks
        self._bars: dict[int, TaskID] = {}
        self._ended: set[int] = set()
        for task in tasks:
            if task.pk not in self._bars:
                self._bars[task.pk] = progress.add_task(task.rule_name, total=None, counts="")
        self._all = progress.add_task("In total", total=None, counts="") if len(self._bars) > 1 else None

    def show(self, task: SyncTask) -> None:
        self._update(self._bars[task.pk], [task])
        if self._all is not None:
            self._update(self._all, self._tasks)

    def has_just_ended(self, task: SyncTask) -> bool:
        """Once for each task."""
        if task.is_open or task.pk in self._ended:
            return False
        self._ended.add(task.pk)
        return True

    @property
    def ended(self) -> str:
        """How many of several have, in brackets."""
        return f" ({len(self._ended)} of {len(self._bars)} tasks)" if len(self._bars) > 1 else ""

    def _update(self, bar: TaskID, tasks: Sequence[SyncTask]) -> None:
        known = all(task.all_planned for task in tasks)
        done, planned = sum(task.done for task in tasks), sum(task.planned for task in tasks)
        self._progress.update(bar, completed=done, total=planned if known else None, counts=counts_of(tasks))


class _Reasons:
    """Says why a task waits, each reason once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[tuple[int, str, str]] = set()
        self._asked_at: dict[int, float] = {}

    def __call__(self, task: SyncTask) -> None:
        now = monotonic()
        if now - self._asked_at.get(task.pk, float("-inf")) < WAITING_ASKED_EVERY_SECONDS:
            return
        self._asked_at[task.pk] = now
        wait = waiting.of_task(task)
        if wait is not None and (reason := (task.pk, wait.what, wait.reason)) not in self._said:
            self._said.add(reason)
            told = wait.reason.rstrip(".")
            self._say(f"{task.rule_name}: waiting for {wait.what}: {told}; next try in {wait.seconds} s")
