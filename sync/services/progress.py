"""How fast a task comes forward, and how long it will go on."""

from datetime import timedelta

from sync.models import SyncTask

# Before that any estimate is a guess.
LEAST_SECONDS, LEAST_PART = 30, 0.1


def bytes_per_second(task: SyncTask) -> int | None:
    """On average since it began; None when nothing was moved."""
    seconds = task.time_spent.total_seconds() if task.time_spent else 0
    return round(task.moved_bytes / seconds) if task.moved_bytes and seconds >= 1 else None


def time_left(task: SyncTask) -> timedelta | None:
    """By the resources that are done and those that are left; None while too little is known, or nothing is left."""
    spent = task.time_spent
    if not task.is_open or task.stop_requested or not task.all_planned or spent is None:
        return None
    left = task.planned - task.done
    if left <= 0 or spent.total_seconds() < LEAST_SECONDS or task.done < LEAST_PART * task.planned:
        return None
    return spent / task.done * left
