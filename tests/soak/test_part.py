"""A small part of `make soak` with a fixed seed, as a program of its own.

On PostgreSQL, which has a server of its own there, to be restarted. SQLite has its turn in `make soak`: here it would
show little more, and take as long.
"""

import os
import subprocess
import sys

import pytest
from django.db import connection

from tests import parts
from tests.commands.support import PROJECT

# A seed under which every kind of kill is among so many.
SEED, KILLS = 2355, 12
# Set by the tests for their own process; the program chooses these itself.
OURS = ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


@pytest.mark.django_db
@pytest.mark.timeout(420)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="on PostgreSQL only")
def test_whatever_is_killed_every_task_ends_right(registry_binary):
    parts.require("postgresql")
    options = f"--database {connection.vendor} --part --seed {SEED} --kills {KILLS}"
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *options.split()],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong 0, lost 0, stuck 0" in done.stdout
    assert f"kills {KILLS}:" in done.stdout
