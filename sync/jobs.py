"""What the queue calls."""

from django.db import close_old_connections

from sync import queue
from sync.models import SyncTask
from sync.services import execute, trigger


def execute_task(task_id: int) -> None:
    """Works on a task for one slice; enqueues the next one, for any worker, when something is left to do."""
    close_old_connections()
    try:
        task = SyncTask.objects.get(pk=task_id)
    except SyncTask.DoesNotExist:
        return
    if execute.run_slice(task, leaving=queue.leaving):
        queue.enqueue_task(task_id, trigger.queue_for(task))


def sweep() -> None:
    """Mends what was lost: claims of dead workers, tasks that the queue forgot."""
    close_old_connections()
    queued = queue.queued_tasks()
    for task in execute.sweep():
        if task.pk not in queued:
            queue.enqueue_task(task.pk, trigger.queue_for(task))
