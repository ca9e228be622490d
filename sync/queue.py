"""The queue: the only module that knows django-rq. It carries ids and nothing else."""

import logging
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NoReturn
from uuid import uuid4

import django_rq
from django.db import connections
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, get_current_job
from rq import Worker as AnyWorker

from sync import pools

log = logging.getLogger(__name__)

# In the order in which workers take from them; besides, each pool has queues of its own (sync.pools).
QUEUES = ("control", "push", "default")
SWEEP_SECONDS = 15
SWEEP_JOB = "sync.jobs.sweep"
# How long the server may take to answer what is good to know and can be done without.
HINT_SECONDS = 1
# So many jobs at the head of a queue tell whether others wait in it.
LOOKED_AT = 50

# A worker that gave no sign of life for so long is not counted any more; it gives four in that time.
WORKER_SEEN_SECONDS = 60

# Notifications that are to be handed out: asked for once; lost with its queue, the sweep does it after a while.
DISPATCH_ASKED, DISPATCH_ASKED_SECONDS = "tcrconsole:dispatch-asked", 10
# How often in a row it was asked for so soon after the last time.
DISPATCHED, BURST_MILLISECONDS = "tcrconsole:dispatched", 1500
LINGER_SECONDS, LONGEST_LINGER_SECONDS = 0.15, 0.9

_leaving = threading.Event()


def leaving() -> bool:
    """Whether this worker was told to end: what it does now is to be given back."""
    return _leaving.is_set()


class Worker(SimpleWorker):
    """Runs jobs in its own process, so that connections stay warm and nothing outlives it.

    On SIGTERM or SIGINT the job at hand gives back what it claimed and ends within seconds.
    """

    # What the worker of this process takes jobs from.
    serves: tuple[str, ...] = QUEUES

    def __init__(self, queues: Any, *args: Any, **options: Any) -> None:
        """With the queues of the pools that this host serves, whoever starts it and however."""
        names = [getattr(one, "name", one) for one in queues]
        known = dict(zip(names, queues, strict=True))
        super().__init__([known.get(name, name) for name in pools.served(names)], *args, **options)

    def work(self, *args: Any, **options: Any) -> bool:
        """Does not return when it was told to leave: then the process ends here.

        Nothing is enqueued for later: RQ's own scheduler, which a pool starts with each worker, stays away.
        """
        Worker.serves = tuple(self.queue_names())
        with _signals_left_to_this_thread():
            threading.Thread(target=self._stay_registered, daemon=True).start()
        try:
            worked = super().work(*args, **options | {"with_scheduler": False})
        except RedisError as error:
            if not leaving():
                raise
            log.warning("this worker leaves without telling the queue, which cannot be reached: %s", error)
        if leaving():
            _end_process()
        return worked

    def subscribe(self) -> None:
        with _signals_left_to_this_thread():
            super().subscribe()  # type: ignore[no-untyped-call]  # RQ gives this one no types

    def _stay_registered(self) -> None:
        """RQ gives a sign of life between jobs only, and keeps none of a worker whose queue was emptied.

        Of a worker that was killed nothing is seen after WORKER_SEEN_SECONDS.
        """
        while not _leaving.wait(WORKER_SEEN_SECONDS / 4):
            with suppress(RedisError):
                if self.connection.hexists(self.key, "birth"):
                    self.heartbeat(WORKER_SEEN_SECONDS)
                else:
                    self.connection.delete(self.key)
                    self.register_birth()  # type: ignore[no-untyped-call]

    def handle_warm_shutdown_request(self) -> None:
        _leaving.set()

    def set_shutdown_requested_date(self) -> None:
        """RQ tells Redis from inside the signal handler: when it is away, that would break the job at hand."""

    def request_force_stop(self, signum: int, frame: Any) -> None:
        """A second signal changes nothing: the first one is being obeyed."""


@contextmanager
def _signals_left_to_this_thread() -> Iterator[None]:
    """For starting threads: a signal that one of them took would not wake the waiting main thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_process() -> NoReturn:
    """An ordinary end joins all threads, of which one may hang in a system call (connect, a name server)."""
    connections.close_all()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def enqueue_task(task_id: int, queue: str = "default") -> bool:
    """Asks any worker to go on with a task. False when the queue cannot be reached: the sweep tries again."""
    try:
        job = f"task-{task_id}-{uuid4().hex}"
        _queue(queue).enqueue("sync.jobs.execute_task", task_id, job_id=job, result_ttl=0)
    except RedisError as error:
        log.warning("task %s could not be enqueued: %s", task_id, error)
        return False
    return True


def _queue(name: str) -> Queue:
    """Those of pools are made as they are named: whoever enqueues needs no list of the pools that there are."""
    if name in QUEUES:
        return django_rq.get_queue(name)
    return Queue(name, connection=django_rq.get_connection("default"), default_timeout=-1)


def pool_at_work() -> str | None:
    """The pool from whose queue the job at hand was taken, blank for the default one; None outside a job."""
    job = get_current_job()
    return pools.pool_of(job.origin) if job else None


def enqueue_dispatch() -> bool:
    """Asks for notifications to be handed to the rules, once until somebody begins. False when the queue is away."""
    try:
        if server().set(DISPATCH_ASKED, 1, nx=True, ex=DISPATCH_ASKED_SECONDS):
            django_rq.get_queue("control", connection=server()).enqueue(
                "sync.jobs.dispatch", job_id=f"dispatch-{uuid4().hex}"
            )
    except RedisError as error:
        log.warning("notifications wait for the next sweep: %s", error)
        return False
    return True


def enqueue_announcement(announcement_id: int) -> bool:
    """Asks any worker to tell others what a task came to. False when the queue cannot be reached."""
    name = f"announce-{announcement_id}-{uuid4().hex}"
    try:
        # Not before anything else: a receiver may take its time.
        django_rq.get_queue("default").enqueue("sync.jobs.announce", announcement_id, job_id=name)
    except RedisError as error:
        log.warning("announcement %s waits for the next sweep: %s", announcement_id, error)
        return False
    return True


def dispatch_begins() -> None:
    """What comes from now on asks again. The longer a burst lasts, the longer is waited for more: one task for many."""
    before = int(server().get(DISPATCHED) or 0)
    _leaving.wait(min(LINGER_SECONDS * before, LONGEST_LINGER_SECONDS))
    server().set(DISPATCHED, before + 1, px=BURST_MILLISECONDS)
    server().delete(DISPATCH_ASKED)


def others_wait(task_id: int) -> bool:
    """Whether a job other than those of this task waits for this worker. True when the queue cannot be reached."""
    try:
        waiting = [name for one in Worker.serves for name in _queue(one).get_job_ids(0, LOOKED_AT)]
    except RedisError:
        return True
    return any(not name.startswith(f"task-{task_id}-") for name in waiting)


def queued_tasks() -> Counter[tuple[int, str]]:
    """How many jobs wait, by task and pool. Raises RedisError."""
    waiting = ((pools.pool_of(queue.name), job_id) for queue in _task_queues() for job_id in queue.job_ids)
    return Counter((int(job_id.split("-")[1]), pool or "") for pool, job_id in waiting if job_id.startswith("task-"))


def _task_queues() -> list[Queue]:
    """All that tasks may wait in, of every pool that a task ever waited for."""
    known = Queue.all(connection=django_rq.get_connection("default"))
    return [queue for queue in known if pools.pool_of(queue.name) is not None]


@cache
def server() -> Redis:
    """The queue's server for what is asked often: connections are kept, and who waits does so for a second at most."""
    connection: Redis = django_rq.get_connection("default")
    limits = {"socket_connect_timeout": HINT_SECONDS, "socket_timeout": HINT_SECONDS}
    connection.connection_pool.connection_kwargs.update(limits)
    return connection


@contextmanager
def alone(name: str, seconds: int) -> Iterator[bool]:
    """True for one at a time, for at most so many seconds. Raises RedisError."""
    connection, key, token = django_rq.get_connection("default"), f"tcrconsole:{name}", uuid4().hex
    mine = bool(connection.set(key, token, nx=True, ex=seconds))
    try:
        yield mine
    finally:
        if mine and connection.get(key) == token.encode():
            connection.delete(key)


def worker_count() -> int | None:
    """Workers alive, None when the queue cannot be reached."""
    try:
        # Not RQ's own count: it includes those that were killed.
        return len(AnyWorker.all(connection=django_rq.get_connection("default")))
    except RedisError:
        return None


def workers_by_pool() -> Counter[str] | None:
    """Workers alive that execute all tasks of a pool, blank for the default one; None as above."""
    try:
        workers = AnyWorker.all(connection=django_rq.get_connection("default"))
    except RedisError:
        return None
    return pools.crew(frozenset(worker.queue_names()) for worker in workers)
