"""Settings come from the environment; with none set the console works on files of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent
OWN = {
    "DATA_DIR",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "CREDENTIAL_KEYS",
    "HTTPS",
    "DJANGO_SETTINGS_MODULE",
}
PROGRAM = """
import json
from tcrconsole import settings
names = {names}
print(json.dumps({{name: getattr(settings, name) for name in names}}, default=str))
"""


def settings_with(folder: Path, *names: str, **environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    program = PROGRAM.format(names=names)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=kept | {"DATA_DIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_with_nothing_set(tmp_path):
    names = ("DEBUG", "DATABASES", "REDIS_URL", "SECRET_KEY", "CREDENTIAL_KEYS", "ALLOWED_HOSTS")
    first = settings_with(tmp_path, *names)
    assert first["DEBUG"] is False
    assert first["DATABASES"]["default"]["NAME"] == str(tmp_path / "db.sqlite3")
    assert first["DATABASES"]["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert first["REDIS_URL"] == f"unix://{tmp_path}/valkey.sock?db=0"
    assert "*" not in first["ALLOWED_HOSTS"]
    assert settings_with(tmp_path, *names) == first
    other = tmp_path / "other"
    for name in ("SECRET_KEY", "CREDENTIAL_KEYS"):
        assert settings_with(other, name)[name] != first[name]
    for name in ("secret_key", "credential_key"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("environment", "setting", "value"),
    [
        ({"DEBUG": "true"}, "DEBUG", True),
        ({"SECRET_KEY": "given"}, "SECRET_KEY", "given"),
        ({"CREDENTIAL_KEYS": "new,old"}, "CREDENTIAL_KEYS", ["new", "old"]),
        ({"ALLOWED_HOSTS": "a.example,b.example"}, "ALLOWED_HOSTS", ["a.example", "b.example"]),
        ({"HTTPS": "true"}, "SESSION_COOKIE_SECURE", True),
        ({"HTTPS": "true"}, "SECURE_SSL_REDIRECT", True),
        ({}, "SECURE_SSL_REDIRECT", False),
        ({"REDIS_URL": "redis://queue:6379/1"}, "REDIS_URL", "redis://queue:6379/1"),
        ({"MANIFEST_LIMIT_BYTES": "8"}, "MANIFEST_LIMIT_BYTES", 8),
        ({"RESOURCES_AT_ONCE": "3"}, "RESOURCES_AT_ONCE", 3),
    ],
)
def test_what_the_environment_says_counts(environment, setting, value, tmp_path):
    assert settings_with(tmp_path, setting, **environment)[setting] == value


def test_another_database(tmp_path):
    (database,) = settings_with(tmp_path, "DATABASES", DATABASE_URL="postgres://user:secret@db:5433/console").values()
    default = database["default"]
    assert (default["ENGINE"], default["HOST"], default["PORT"], default["NAME"]) == (
        "django.db.backends.postgresql",
        "db",
        5433,
        "console",
    )
    assert default["CONN_HEALTH_CHECKS"] is True
