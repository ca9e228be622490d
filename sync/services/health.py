"""Whether the parts that tasks need are there."""

from django.db import Error, connection

from sync import queue


def worker_count() -> int | None:
    """Workers alive on all machines; None when the queue cannot be reached."""
    return queue.worker_count()


def parts() -> dict[str, bool]:
    """What tasks need, and whether it is there. Without the queue nothing is known of those who work for it."""
    try:
        state = queue.inspect()
    except queue.QueueUnreachable:
        return {"database": _database_answers(), "queue": False, "workers": False, "scheduler": False}
    return {
        "database": _database_answers(),
        "queue": True,
        "workers": bool(state.workers),
        "scheduler": bool(state.schedulers),
    }


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True
