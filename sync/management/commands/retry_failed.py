"""manage.py retry_failed: a new task over what failed in an earlier one."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from sync.management.acting import Acting, acting_of, add_acting, as_os_user
from sync.management.following import FollowingCommand
from sync.models import SyncRule
from sync.services import bulk, grants, trigger


class Command(FollowingCommand):
    help = "Opens a task over just what failed in an earlier one, by the rule as it is now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", type=int, metavar="ID")
        add_acting(parser)
        self.add_following(parser)

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        self.check_following(options)
        acting = acting_of(options)
        with acting.reading():
            code = self.synchronize(
                lambda: [_retry(options["task"], acting, enqueue=not options["foreground"])], options
            )
        if code:
            sys.exit(code)


def _retry(task_id: int, acting: Acting, *, enqueue: bool) -> trigger.Opened:
    """Raises CommandError."""
    task = acting.tasks().filter(pk=task_id).first()
    if task is None:
        raise CommandError(f"There is no task {task_id}.", returncode=bulk.EXIT_WRONG_USE)
    acting.require(task.source)
    try:
        return trigger.retry_failed(task, actor=acting.name, enqueue=enqueue)
    except (trigger.NothingToRetry, grants.Suspended) as refusal:
        raise CommandError(str(refusal), returncode=bulk.EXIT_WRONG_USE) from None
    except SyncRule.DoesNotExist:
        raise CommandError("The rule of this task was deleted.", returncode=bulk.EXIT_WRONG_USE) from None
