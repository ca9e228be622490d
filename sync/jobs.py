"""What the queue calls."""

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, InterfaceError, close_old_connections

from sync import logs, queue
from sync.models import SyncTask
from sync.services import announce as announcing
from sync.services import dispatch as dispatching
from sync.services import execute, forgetting, grants, lag, pruning, schedules, trigger
from sync.services.order import forget_abandoned_locks

log = logging.getLogger(__name__)

ASKED_AT_ONCE = 1000
# A sweep that was killed keeps the next ones away for so long.
SWEEP_AT_MOST_SECONDS = 30


def execute_task(task_id: int) -> None:
    """Works on a task for one slice; enqueues the next one, for any worker, when something can be done at once."""
    close_old_connections()
    try:
        task = SyncTask.objects.select_related("rule", "source", "target").get(pk=task_id)
        with logs.about(task=task.pk, rule=task.rule_id):
            _execute(task)
    except SyncTask.DoesNotExist:
        return
    except (DatabaseError, InterfaceError) as error:
        log.warning("task %s is left to the next sweep: the database failed: %s", task_id, error)


def _execute(task: SyncTask) -> None:
    more = True
    # Else it was given to another pool while it waited here.
    if queue.pool_at_work() in (None, task.pool):
        more = execute.run_slice(
            task,
            leaving=queue.leaving,
            patient=True,
            spread=partial(trigger.spread, task),
            sharers=(queue.workers_by_pool() or Counter())[task.pool] or 1,
            others_wait=partial(queue.others_wait, task.pk),
        )
    if more:
        trigger.go_on(task)


def dispatch() -> None:
    """Hands what registries told to the rules."""
    close_old_connections()
    try:
        queue.dispatch_begins()
        dispatching.dispatch(queue.leaving)
    except (DatabaseError, InterfaceError) as error:
        log.warning("notifications are left to the next sweep: the database failed: %s", error)


def due() -> None:
    """Starts what the clock starts."""
    close_old_connections()
    try:
        schedules.start_due()
    except (DatabaseError, InterfaceError) as error:
        log.warning("what is due waits for the next look at the clock: the database failed: %s", error)


def announce(announcement_id: int) -> None:
    """Tells others what a task came to: one attempt."""
    close_old_connections()
    try:
        announcing.deliver(announcement_id)
    except (DatabaseError, InterfaceError) as error:
        log.warning("announcement %s is left to the next sweep: the database failed: %s", announcement_id, error)


def sweep() -> None:
    """Mends what was lost: claims of dead workers, tasks that the queue forgot, tasks that have waited enough."""
    close_old_connections()
    try:
        with queue.alone("sweep", SWEEP_AT_MOST_SECONDS) as alone:
            if alone:
                _sweep()
    except (DatabaseError, InterfaceError) as error:
        log.warning("the sweep is left to the next one: the database failed: %s", error)


def _dispatch() -> None:
    dispatching.dispatch(queue.leaving)


# Besides mending tasks; each as often as may be.
CHORES: tuple[Callable[[], object], ...] = (
    _dispatch,
    forget_abandoned_locks,
    lag.refresh,
    forgetting.forget,
    pruning.prune,
    grants.review_suspended,
    announcing.enqueue_due,
)


def _sweep() -> None:
    for chore in CHORES:
        try:
            chore()
        except (DatabaseError, InterfaceError):
            raise
        except Exception:  # a fault in one keeps nobody from mending tasks
            log.exception("the sweep goes on without %s", chore)
    queued, asked = queue.queued_tasks(), 0
    for idle in execute.sweep(queue.leaving):
        asked += trigger.top_up(idle.task, idle.working, idle.ready, queued[idle.task.pk, idle.task.pool])
        if asked >= ASKED_AT_ONCE:
            return  # There is enough to do until the next sweep.
