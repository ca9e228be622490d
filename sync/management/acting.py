"""In whose name a command acts: that of the account in the system, which may everything, or that of a user."""

import getpass
import os
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError
from django.db.models import QuerySet

from sync import access, logs
from sync.access import Right
from sync.models import Instance, SyncRule, SyncTask
from sync.services import bulk
from sync.services.audit import Caller, on_behalf_of
from sync.services.grants import instances_with
from sync.services.reading import Reader, read_by


@dataclass(frozen=True)
class Acting:
    """user: None for whoever has a shell where the console is, and so everything."""

    user: User | None
    name: str

    def instances(self, right: Right = Right.VIEW) -> QuerySet[Instance]:
        return Instance.objects.all() if self.user is None else instances_with(self.user, right)

    def tasks(self) -> QuerySet[SyncTask]:
        """Those that are there for them, of deleted instances only for who sees everything."""
        tasks = SyncTask.objects.select_related("rule", "source", "target")
        return tasks if self.user is None else tasks.filter(source__in=self.instances())

    def require(self, instance: Instance | None, right: Right = Right.OPERATE) -> None:
        """Raises CommandError."""
        if instance is not None:
            self._refuse_by(lambda user: access.require(user, instance, right))

    def require_sight_of_target(self, rule: SyncRule) -> None:
        """Raises CommandError."""
        self._refuse_by(lambda user: access.require_sight_of_target(user, rule))

    def _refuse_by(self, check: Callable[[User], None]) -> None:
        if self.user is None:
            return
        try:
            check(self.user)
        except PermissionDenied as refusal:
            raise CommandError(f"{self.name}: {refusal}", returncode=bulk.EXIT_WRONG_USE) from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Meanwhile whoever reads the screen sees no host that they may not see, in what is logged neither."""
        if self.user is None:
            yield
            return
        reader = Reader.of(self.user)
        reader.look_up()
        with read_by(reader), logs.told_through(reader):
            yield


def add_acting(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--as-user",
        default="",
        metavar="NAME",
        help="with the rights of this user: what they may not see does not exist, what they may not do is refused",
    )


def acting_of(options: dict[str, Any]) -> Acting:
    """Raises CommandError."""
    name = options["as_user"]
    if not name:
        return Acting(None, os_user())
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user “{name}”.", returncode=bulk.EXIT_WRONG_USE)
    return Acting(user, user.get_username())


def os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a number without a name
        return f"uid {os.getuid()}"


def as_os_user(handle: Callable[..., str | None]) -> Callable[..., str | None]:
    """What the command does is noted as done by the account in the system, and for whom."""

    @wraps(handle)
    def noted(*args: Any, **options: Any) -> str | None:
        as_user = options.get("as_user")
        with on_behalf_of(Caller(name=f"{os_user()} as {as_user}" if as_user else os_user())):
            return handle(*args, **options)

    return noted
