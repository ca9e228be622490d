"""One run: tasks one after the other, with faults, until all kills are spent. Import after django.setup()."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from random import Random
from time import monotonic, sleep

from sync.models import Status, SyncRule, SyncTask
from sync.services.trigger import NothingToRetry
from tests.soak.corpus import LONG, WIDE, Corpus, Key
from tests.soak.faults import Faults
from tests.soak.figures import Figures
from tests.soak.looker import Looker
from tests.soak.run import Order
from tests.soak.stage import Stage
from tests.soak.tasks import Desk, Progress
from tests.soak.verdict import faults_in_the_books, not_there, said_failed
from tests.soak.visitor import Visitor

LOOK_SECONDS = 0.2
BETWEEN_STRIKES_SECONDS = (0.5, 5.0)
# A task must have ended so many seconds after the last strike.
STUCK_SECONDS = 90.0
STOP_SECONDS = 30.0
MOVED_BEFORE, MOVED_AT_EACH_LOOK = 0.3, 2
RETRIES = 3


@dataclass
class Round:
    """`looker` looks all the time in a thread of its own, `judge` when a task has ended."""

    stage: Stage
    corpus: Corpus
    figures: Figures
    faults: Faults
    looker: Looker
    judge: Looker
    visitor: Visitor
    desk: Desk
    order: Order
    threads: Sequence[Future[None]]

    def __post_init__(self) -> None:
        self._pauses, self._moves = Random(f"{self.order.seed} pauses"), Random(f"{self.order.seed} moves")
        self._drawn = self.faults.draw()

    def run(self) -> None:
        for number in count(1):
            for kind in (self._fresh_then_overwriting, self._divided):
                if self.figures.kills.total() >= self.order.kills:
                    self._check_workers()
                    return
                kind(number)

    def _check_workers(self) -> None:
        if self.figures.tasks and not self.figures.with_all_workers:
            self.figures.is_wrong("in none of the tasks all workers took part")

    def _fresh_then_overwriting(self, number: int) -> None:
        rule = self.desk.rule(f"wide-{number}", WIDE, overwrite=True)
        self._synchronize(rule, WIDE, moving=False)
        self.corpus.move_some(self._moves, MOVED_BEFORE)
        self._synchronize(rule, WIDE, moving=True)

    def _divided(self, number: int) -> None:
        self._synchronize(self.desk.rule(f"long-{number}", LONG, overwrite=False), LONG, moving=False)

    def _synchronize(self, rule: SyncRule, room: str, *, moving: bool) -> None:
        self.looker.rooms[rule.name] = self.judge.rooms[rule.name] = room
        began_with = self.corpus.now(room)
        task = self.desk.open(rule)
        self.looker.current, self.visitor.task = rule.name, task.pk
        self.figures.say(f"{task} into {rule.name}{', while tags move in the source' if moving else ''}")
        ended = self._follow(task, moving=moving, striking=True)
        self.looker.current = None
        if not ended:
            return
        self._tell(task)
        self._wait_for_all()
        self._judge(task, rule.name, began_with)

    def _tell(self, task: SyncTask) -> None:
        logs = {part.name: part.log.read_text(errors="replace") for part in self.stage.workers}
        took_part = [name for name, text in logs.items() if f"task-{task.pk}-" in text]
        figures = self.figures
        figures.with_all_workers += len(took_part) == len(self.stage.workers)
        figures.tasks[task.status] += 1
        figures.resources += task.planned
        figures.say(
            f"{task} {task.status} after {task.time_spent}: {task.done} of {task.planned}, copied {task.copied}, "
            f"unchanged {task.unchanged}, failed {task.failed}; took part: {', '.join(took_part)}"
        )

    def _follow(self, task: SyncTask, *, moving: bool = False, striking: bool = False) -> bool:
        """Until the task has ended, striking meanwhile; False when it is stuck."""
        watch = Watch(self.figures)
        struck, last = 0, monotonic()
        due = self._next_strike()
        while True:
            self._wait(LOOK_SECONDS)
            progress = self.desk.progress(task)
            watch.note(progress)
            if progress.ended:
                return True
            if moving:
                self._move()
            if striking and struck < self.order.size.strikes and monotonic() >= due and self._strike(watch):
                struck, last = struck + 1, monotonic()
                due = self._next_strike()
            if monotonic() - last > STUCK_SECONDS:
                self._give_up(task)
                return False

    def _next_strike(self) -> float:
        return monotonic() + self._pauses.uniform(*BETWEEN_STRIKES_SECONDS)

    def _move(self) -> None:
        for key in self._moves.choices(self.corpus.of(WIDE), k=MOVED_AT_EACH_LOOK):
            self.corpus.move(key)

    def _strike(self, watch: "Watch") -> bool:
        """Deals the strike that was drawn; False while its part is down, and when all are dealt."""
        if self.figures.kills.total() >= self.order.kills or not self._drawn.part.up:
            return False
        self._drawn.deal()
        self.figures.kills[self._drawn.kind] += 1
        self.figures.say(f"{self.figures.kills.total():3}. {self._drawn}")
        watch.struck(self._drawn.kind)
        self._drawn = self.faults.draw()
        return True

    def _give_up(self, task: SyncTask) -> None:
        self.figures.stuck.append(f"{task} has not ended {STUCK_SECONDS:.0f} s after the last kill: {task.reason}")
        self.figures.say(f"STUCK: {self.figures.stuck[-1]}")
        self.desk.stop(task)
        deadline = monotonic() + STOP_SECONDS
        while not self.desk.progress(task).ended and monotonic() < deadline:
            self._wait(LOOK_SECONDS)

    def _judge(self, task: SyncTask, namespace: str, began_with: Mapping[Key, int]) -> None:
        """What is not there must have been told as failed, and must come by Retry failed."""
        self._check_books(task, len(began_with))
        failed = self.desk.failed(task)
        for key, said in self._not_there(namespace, began_with):
            if not said_failed(task, failed, key):
                self.figures.is_wrong(f"{task} {task.status}, but {said}")
        if task.status != Status.SUCCEEDED:
            self.figures.failed_truthfully += len(failed)
            for reason, number in Counter(row.reason for row in failed).items():
                self.figures.say(f"{number} failed, as {task} says: {reason}")
            self._retry(task)
            lost = [said for _, said in self._not_there(namespace, began_with)]
            self.figures.lost += lost
            self.figures.say(f"{len(failed)} resources had failed, after Retry failed {len(lost)} are lost")

    def _check_books(self, task: SyncTask, planned: int | None) -> None:
        for fault in self.desk.ask(lambda: list(faults_in_the_books(task, planned))):
            self.figures.is_wrong(fault)

    def _retry(self, task: SyncTask) -> None:
        for _ in range(RETRIES):
            try:
                task = self.desk.retry(task)
            except NothingToRetry as error:
                self.figures.is_wrong(f"{task} {task.status}: {error}")
                return
            if not self._follow(task):
                return
            self.figures.say(f"{task}, a retry, {task.status}: {task.done} of {task.planned}")
            self._check_books(task, None)
            if task.status == Status.SUCCEEDED:
                return

    def _not_there(self, namespace: str, began_with: Mapping[Key, int]) -> list[tuple[Key, str]]:
        return list(not_there(self.corpus, began_with, self.judge.look(namespace)))

    def _wait_for_all(self) -> None:
        """What was killed last serves again. A part that cannot is told by the keeper's thread."""
        while not all(part.up for part in self.stage.parts):
            self._wait(LOOK_SECONDS)

    def _wait(self, seconds: float) -> None:
        """A thread that fell over a fault of its own ends the run."""
        for thread in self.threads:
            if thread.done():
                thread.result()
        sleep(seconds)


class Watch:
    """Measures how long after each strike the task moved on."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        # (kind, when, what the task's progress was at the first look after it)
        self._open: list[tuple[str, float, object]] = []

    def struck(self, kind: str) -> None:
        self._open.append((kind, monotonic(), None))

    def note(self, progress: Progress) -> None:
        self._figures.most_owners = max(self._figures.most_owners, progress.owners)
        still: list[tuple[str, float, object]] = []
        for kind, at, mark in self._open:
            if mark is None:
                still.append((kind, at, progress.mark))
            elif mark == progress.mark:
                still.append((kind, at, mark))
            else:
                self._figures.repaired(kind, monotonic() - at)
        self._open = still
