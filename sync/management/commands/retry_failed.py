"""manage.py retry_failed: a new task over what failed in an earlier one."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from sync.management.acting import as_os_user, os_user
from sync.management.following import FollowingCommand
from sync.models import SyncRule, SyncTask
from sync.services import bulk, trigger


class Command(FollowingCommand):
    help = "Opens a task over just what failed in an earlier one, by the rule as it is now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", type=int, metavar="ID")
        self.add_following(parser)

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        self.check_following(options)
        code = self.synchronize(lambda: [_retry(options["task"], enqueue=not options["foreground"])], options)
        if code:
            sys.exit(code)


def _retry(task_id: int, *, enqueue: bool) -> trigger.Opened:
    """Raises CommandError."""
    task = SyncTask.objects.select_related("rule").filter(pk=task_id).first()
    if task is None:
        raise CommandError(f"There is no task {task_id}.", returncode=bulk.EXIT_WRONG_USE)
    try:
        return trigger.retry_failed(task, actor=os_user(), enqueue=enqueue)
    except trigger.NothingToRetry as refusal:
        raise CommandError(str(refusal), returncode=bulk.EXIT_WRONG_USE) from None
    except SyncRule.DoesNotExist:
        raise CommandError("The rule of this task was deleted.", returncode=bulk.EXIT_WRONG_USE) from None
