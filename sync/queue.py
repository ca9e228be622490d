"""The queue: the only module that knows django-rq. It carries ids and nothing else."""

import logging
import signal
import threading
from typing import Any
from uuid import uuid4

import django_rq
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq import Worker as AnyWorker

log = logging.getLogger(__name__)

# In the order in which workers take from them.
QUEUES = ("control", "push", "default")
SWEEP_SECONDS = 15

_leaving = threading.Event()


def leaving() -> bool:
    """Whether this worker was told to end: what it does now is to be given back."""
    return _leaving.is_set()


class Worker(SimpleWorker):
    """Runs jobs in its own process, so that connections stay warm and nothing outlives it.

    On SIGTERM or SIGINT the job at hand gives back what it claimed and ends within seconds.
    """

    def work(self, *args: Any, **options: Any) -> bool:
        """Nothing here is enqueued for later: RQ's own scheduler, which a pool starts with each worker, stays away."""
        return super().work(*args, **options | {"with_scheduler": False})

    def subscribe(self) -> None:
        """Keeps signals away from RQ's listening thread: taken there, they would not wake the waiting main thread."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            super().subscribe()  # type: ignore[no-untyped-call]  # RQ gives this one no types
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def handle_warm_shutdown_request(self) -> None:
        _leaving.set()

    def request_force_stop(self, signum: int, frame: Any) -> None:
        """A second signal changes nothing: the first one is being obeyed."""


def enqueue_task(task_id: int, queue: str = "default") -> bool:
    """Asks any worker to go on with a task. False when the queue cannot be reached: the sweep tries again."""
    try:
        django_rq.get_queue(queue).enqueue("sync.jobs.execute_task", task_id, job_id=f"task-{task_id}-{uuid4().hex}")
    except RedisError as error:
        log.warning("task %s could not be enqueued: %s", task_id, error)
        return False
    return True


def queued_tasks() -> set[int]:
    """Tasks for which a job waits. Raises RedisError."""
    names = [job_id for queue in QUEUES for job_id in django_rq.get_queue(queue).job_ids]
    return {int(name.split("-")[1]) for name in names if name.startswith("task-")}


def worker_count() -> int | None:
    """Workers alive, None when the queue cannot be reached."""
    try:
        return AnyWorker.count(connection=django_rq.get_connection("default"))
    except RedisError:
        return None
