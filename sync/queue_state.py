"""What the queue's server tells of itself, of what waits in it and of those who work for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import time

import django_rq
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq import Queue, cron_scheduler_registry
from rq import Worker as AnyWorker
from rq.cron import get_cron_job_history_key
from rq.defaults import DEFAULT_CRON_SCHEDULER_TTL
from rq.job import Job
from rq.utils import as_text, utcparse

from sync.queue import QUEUES, SWEEP_JOB

# How long the server may take to answer one question.
INSPECT_SECONDS = 5


class QueueUnreachable(Exception):
    """The queue did not answer; the message says why, without credentials."""


@dataclass(frozen=True)
class WorkerSeen:
    host: str
    queues: frozenset[str]


@dataclass(frozen=True)
class QueueState:
    """What the queue's server tells about itself and about those who work for it.

    `version` is that of Redis whose commands the server knows. `host` is blank for a Unix socket, `eviction` (the
    maxmemory-policy) where the server does not tell it. `persistent`: it is known to keep its data over a restart.
    `clock_ahead`, `control_waits` (the age of the oldest job in the queue control) and `scheduler_silent` (since the
    last sign of life of any scheduler, None without one) are seconds. `queued`: jobs by queue.
    """

    version: tuple[int, ...]
    host: str
    authenticated: bool
    eviction: str
    persistent: bool
    clock_ahead: float
    workers: tuple[WorkerSeen, ...]
    schedulers: int
    control_waits: float
    queued: Mapping[str, int]
    scheduler_silent: float | None


def inspect() -> QueueState:
    """Looks at the queue; the only trace is that RQ forgets dead workers on the way. Raises QueueUnreachable."""
    try:
        with _impatient_connection() as connection:
            return _state(connection)
    except RedisError as error:
        raise QueueUnreachable(str(error)) from None


def _impatient_connection() -> Redis:
    """A connection that answers within seconds. Raises RedisError; QueueUnreachable where REDIS_URL makes no sense."""
    try:
        connection = django_rq.get_connection("default")
        limits = {"socket_connect_timeout": INSPECT_SECONDS, "socket_timeout": INSPECT_SECONDS}
        connection.connection_pool.connection_kwargs.update(limits)
        connection.ping()
    except (ValueError, TypeError):  # their texts may hold parts of a password
        raise QueueUnreachable("that is no address of a Redis or Valkey server") from None
    return connection


def _state(connection: Redis) -> QueueState:
    options = connection.connection_pool.connection_kwargs
    info = connection.info()
    seconds, microseconds = connection.time()
    now = seconds + microseconds / 1e6
    clock_ahead = now - time()
    workers = AnyWorker.all(connection=connection)
    scheduled = cron_scheduler_registry.get_registry_key()
    return QueueState(
        version=tuple(int(part) for part in str(info["redis_version"]).split(".")[:3]),
        host="" if "path" in options else options.get("host", "localhost"),
        authenticated=bool(options.get("password") or options.get("ssl_certfile")),
        eviction=info.get("maxmemory_policy", ""),
        persistent=bool(info.get("aof_enabled")) or _saves(connection),
        clock_ahead=clock_ahead,
        workers=tuple(WorkerSeen(worker.hostname or "", frozenset(worker.queue_names())) for worker in workers),
        schedulers=connection.zcount(scheduled, now - DEFAULT_CRON_SCHEDULER_TTL, "+inf"),
        control_waits=_oldest(connection, now),
        queued=dict.fromkeys(QUEUES, 0) | {one.name: one.count for one in Queue.all(connection=connection)},
        scheduler_silent=_silent(connection, scheduled, now),
    )


def _saves(connection: Redis) -> bool:
    """Whether the server tells of save points; hosted ones often refuse CONFIG."""
    try:
        return bool(connection.config_get("save").get("save"))
    except ResponseError:
        return False


def _silent(connection: Redis, registry: str, now: float) -> float | None:
    newest = connection.zrange(registry, 0, 0, desc=True, withscores=True)
    return max(now - float(newest[0][1]), 0) if newest else None


def _oldest(connection: Redis, now: float) -> float:
    """Seconds since the first job in the queue control was enqueued."""
    waiting = Queue("control", connection=connection).get_job_ids(0, 1)
    if not waiting:
        return 0.0
    if enqueued := connection.hget(Job.key_for(waiting[0]), "enqueued_at"):
        return now - utcparse(as_text(enqueued)).timestamp()
    # A sweep that has expired: its name still waits in the queue, its time stands in the scheduler's history.
    return now - (connection.zscore(get_cron_job_history_key(SWEEP_JOB), waiting[0]) or now)
