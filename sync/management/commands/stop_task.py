"""manage.py stop_task: stops tasks and waits until they have ended."""

import sys
from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.management.acting import Acting, acting_of, add_acting, as_os_user
from sync.models import SyncTask
from sync.services import bulk, trigger
from sync.services.execute import unwatched

WAIT_SECONDS = 10
EXIT_STILL_STOPPING, EXIT_UNKNOWN = 1, 2


class Command(BaseCommand):
    help = "Stops tasks. What they copied so far stays in the target."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = (
            f"exit status: 0 all of them have ended; 1 one is still stopping after {WAIT_SECONDS} seconds; "
            "2 there is no such task, or the user of --as-user may not stop it; nothing was stopped."
        )
        add_acting(parser)
        parser.add_argument("task", nargs="+", type=int, metavar="ID")

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        acting = acting_of(options)
        tasks = [_task(task_id, acting) for task_id in dict.fromkeys(options["task"])]
        stopping = [task for task in tasks if trigger.stop_task(task, actor=acting.name)]
        ended = bulk.follow(stopping, unwatched, monotonic() + WAIT_SECONDS)
        for task in tasks:
            self.stdout.write(f"Task {task.pk} of {task.rule_name}: {_what_became_of(task, task in stopping)}")
        if not ended:
            sys.exit(EXIT_STILL_STOPPING)


def _task(task_id: int, acting: Acting) -> SyncTask:
    """Raises CommandError."""
    task = acting.tasks().filter(pk=task_id).first()
    if task is None:
        raise CommandError(f"There is no task {task_id}. Nothing was stopped.", returncode=EXIT_UNKNOWN)
    acting.require(task.source)
    return task


def _what_became_of(task: SyncTask, was_open: bool) -> str:
    if task.is_open:
        return "still stopping. It ends when its worker answers, or is found to be dead by the next sweep."
    return f"{task.get_status_display()}." if was_open else f"had ended already, {task.get_status_display()}."
