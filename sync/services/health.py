"""Whether the parts that tasks need are there."""

from sync import queue


def worker_count() -> int | None:
    """Workers alive on all machines; None when the queue cannot be reached."""
    return queue.worker_count()
