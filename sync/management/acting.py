"""As whom a command acts: the user of the operating system."""

import getpass
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from sync.services.audit import Caller, on_behalf_of


def os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a number without a name
        return f"uid {os.getuid()}"


def as_os_user(handle: Callable[..., None]) -> Callable[..., None]:
    """What the command does is noted as done by the user."""

    @wraps(handle)
    def noted(*args: Any, **options: Any) -> None:
        with on_behalf_of(Caller(name=os_user())):
            handle(*args, **options)

    return noted
