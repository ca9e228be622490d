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
KEYS = [f"{letter * 43}=" for letter in "AQ"]
PROGRAM = """
import json
from tcrconsole import settings
names = {names}
print(json.dumps({{name: getattr(settings, name) for name in names}}, default=str))
"""


def load(folder: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    program = PROGRAM.format(names=names)
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=PROJECT, env=kept | {"DATA_DIR": str(folder)} | environment, capture_output=True, text=True
    )


def settings_with(folder: Path, *names: str, **environment: str) -> dict[str, Any]:
    done = load(folder, *names, **environment)
    assert done.returncode == 0, done.stderr
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
        ({"CREDENTIAL_KEYS": ",".join(KEYS)}, "CREDENTIAL_KEYS", KEYS),
        ({"ALLOWED_HOSTS": "a.example,b.example"}, "ALLOWED_HOSTS", ["a.example", "b.example"]),
        ({"HTTPS": "true"}, "SESSION_COOKIE_SECURE", True),
        ({"HTTPS": "true"}, "SECURE_SSL_REDIRECT", True),
        ({}, "SECURE_SSL_REDIRECT", False),
        ({"REDIS_URL": "redis://queue:6379/1"}, "REDIS_URL", "redis://queue:6379/1"),
        ({"MANIFEST_LIMIT_BYTES": "8"}, "MANIFEST_LIMIT_BYTES", 8),
        ({"RESOURCES_AT_ONCE": "3"}, "RESOURCES_AT_ONCE", 3),
        ({"CALLS_AT_ONCE": "7"}, "RESOURCES_AT_ONCE", 28),
        ({"CALLS_AT_ONCE": "7"}, "REPOSITORIES_AT_ONCE", 4),
        ({"CALLS_AT_ONCE": "0"}, "CALLS_AT_ONCE", 1),
        ({"REPOSITORIES_AT_ONCE": "0"}, "REPOSITORIES_AT_ONCE", 1),
    ],
)
def test_what_the_environment_says_counts(environment, setting, value, tmp_path):
    assert settings_with(tmp_path, setting, **environment)[setting] == value


@pytest.mark.parametrize("keys", ["abcxyz", f"{KEYS[0]},abcxyz"])
def test_a_credential_key_that_is_none_is_refused_with_a_sentence(keys, tmp_path):
    refused = load(tmp_path, "CREDENTIAL_KEYS", CREDENTIAL_KEYS=keys)
    assert refused.returncode != 0
    assert "ImproperlyConfigured: CREDENTIAL_KEYS holds something that is no Fernet key" in refused.stderr
    assert "docs/operations.md" in refused.stderr
    assert "abcxyz" not in refused.stderr


SSO = {"OIDC_ISSUER": "https://id.example/realms/main", "OIDC_CLIENT_ID": "console"}


@pytest.mark.parametrize("only", ["true", "false"])
def test_single_sign_on_takes_passwords_besides_or_not(only, tmp_path):
    (tmp_path / "secret").write_text("of the client\n")
    given = SSO | {"OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"), "OIDC_ONLY": only}
    found = settings_with(tmp_path, "AUTHENTICATION_BACKENDS", "OIDC_RP_CLIENT_SECRET", **given)
    assert found["OIDC_RP_CLIENT_SECRET"] == "of the client"
    passwords = "django.contrib.auth.backends.ModelBackend" in found["AUTHENTICATION_BACKENDS"]
    assert passwords == (only == "false")
    assert "tcrconsole.sso.backend.SingleSignOn" in found["AUTHENTICATION_BACKENDS"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OIDC_ISSUER": SSO["OIDC_ISSUER"]}, "OIDC_ISSUER goes with OIDC_CLIENT_ID"),
        (SSO | {"OIDC_ISSUER": "http://id.example"}, "OIDC_ISSUER: give the provider's address as https://"),
        (
            SSO | {"OIDC_CLIENT_SECRET_FILE": "/no/such/file"},
            "OIDC_CLIENT_SECRET_FILE names /no/such/file, which cannot be read",
        ),
        ({"TRUSTED_PROXIES": "10.0.0.5,proxy"}, "TRUSTED_PROXIES: 'proxy' does not appear to be"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(environment, words, tmp_path):
    refused = load(tmp_path, "DEBUG", **environment)
    assert refused.returncode != 0 and f"ImproperlyConfigured: {words}" in refused.stderr


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


def test_secrets_come_from_files_that_are_named(tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    found = settings_with(tmp_path, "SECRET_KEY", SECRET_KEY="given", SECRET_KEY_FILE=str(tmp_path / "key"))
    assert found["SECRET_KEY"] == "from a file"


def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path):
    refused = load(tmp_path, "SECRET_KEY", SECRET_KEY_FILE=str(tmp_path / "none"))
    assert "SECRET_KEY_FILE names" in refused.stderr
    assert "which cannot be read: No such file or directory." in refused.stderr
