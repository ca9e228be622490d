"""docs/operations.md: what it lists is all there is, and what it has one type works."""

import os
import re
import sqlite3
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.production import composed
from tests.production.test_compose import KNOWN
from tests.test_settings import load, settings_with

PAGE = (composed.PROJECT / "docs" / "operations.md").read_text()
CHECKS = (composed.PROJECT / "sync" / "checks.py").read_text()
# Of the launchers, the demo and libraries: read elsewhere.
ELSEWHERE = {"PORT", "REGISTRY_PORTS", "WORKERS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}
UNITS = {"web": "web", "worker@": "worker", "express": "express", "scheduler": "scheduler"}


def section(title: str) -> str:
    """What stands under a heading, to the next one of its rank or above."""
    marks, _, rest = re.split(rf"^(#+) ({re.escape(title)})\n", PAGE, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(marks)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(title: str) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", section(title), flags=re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(["bash", "-euc", script], cwd=folder, env=os.environ | environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_every_setting_stands_in_the_table_and_nothing_else():
    tables = section("Settings") + section("Single sign-on")
    cells = re.findall(r"^\| (`.*?) \|", tables, flags=re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell) if not name.endswith("_FILE")}
    assert told == {name for name in KNOWN if not name.endswith("_FILE")} | ELSEWHERE


def test_every_check_stands_in_the_table():
    told = section("Before production")
    assert {name for name in re.findall(r"tcrconsole\.([EW]\d{3})", CHECKS) if name not in told} == set()


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {link for link in re.findall(r"\]\(#([^)]*)\)", PAGE) if link not in anchors} == set()
    for path in re.findall(r"\]\(([\w./-]+)(?:#[^)]*)?\)", PAGE):
        assert (composed.PROJECT / "docs" / path).exists(), path


def test_the_secrets_are_made_as_the_page_says(tmp_path):
    run(blocks("With containers")[0], tmp_path)
    made = {path.name: path.read_text().strip() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == composed.document()["secrets"].keys()
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert made["postgres_password"] in made["database_url"]
    assert made["valkey_conf"].removeprefix("requirepass ") in made["redis_url"]
    given = composed.environment("web", tmp_path / "secrets", {"CONSOLE_HOST": "console.example"})
    names = ("CREDENTIAL_KEYS", "SECRET_KEY", "DATABASES", "METRICS_TOKEN", "ALLOWED_HOSTS", "WORKER_POOLS")
    found = settings_with(tmp_path / "data", *names, **given)
    assert found["CREDENTIAL_KEYS"] == [made["credential_keys"]]
    assert found["DATABASES"]["default"]["HOST"] == "postgres"
    assert found["DATABASES"]["default"]["PASSWORD"] == made["postgres_password"]
    assert (found["METRICS_TOKEN"], found["WORKER_POOLS"]) == (made["metrics_token"], [])
    assert (tmp_path / ".env").read_text() == f"CONSOLE_HOST={found['ALLOWED_HOSTS'][0]}\n"


def test_a_name_that_has_to_be_chosen_has_no_default(tmp_path):
    with pytest.raises(KeyError, match="CONSOLE_HOST"):
        composed.environment("web", tmp_path, {})


def test_without_containers_the_settings_are_the_same():
    (block,) = [one for one in blocks("With systemd") if one.startswith("DATA_DIR=")]
    told = dict(line.split("=", 1) for line in block.splitlines())
    given = composed.environment("web", Path("/etc/tcrconsole/secrets"), {"CONSOLE_HOST": "console.example"})
    pools = {"WORKER_POOLS", "WORKER_POOLS_ONLY"}
    assert told == {name: text for name, text in given.items() if name not in pools} | {"DATA_DIR": told["DATA_DIR"]}


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_run_the_same_command_lines(unit):
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(composed.PROJECT / "docs" / "systemd" / f"tcrconsole-{unit}.service")
    service = parser["Service"]
    command = composed.command(UNITS[unit], "127.0.0.1:8000")
    assert service["ExecStart"].split() == ["/opt/tcrconsole/.venv/bin/python", *command[1:]]
    assert service["Restart"] == "always"
    assert unit in section("With systemd")


def test_a_backup_of_sqlite_is_restored_as_the_page_says(tmp_path):
    data, backup = tmp_path / "data", tmp_path / "backup"
    backup.mkdir()
    assert load(data, "SECRET_KEY").returncode == 0
    with sqlite3.connect(data / "db.sqlite3") as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE kept (word)")
        database.execute("INSERT INTO kept VALUES ('here')")
    (script,) = [one for one in blocks("Backup and restore") if "sqlite3" in one]
    here = script.replace(".venv/bin/python", sys.executable)
    run(here, tmp_path, DATA_DIR=str(data), BACKUP=str(backup))
    database.close()
    before = settings_with(data, "SECRET_KEY", "CREDENTIAL_KEYS")
    assert settings_with(backup, "SECRET_KEY", "CREDENTIAL_KEYS") == before
    with sqlite3.connect(backup / "db.sqlite3") as restored:
        assert restored.execute("SELECT word FROM kept").fetchall() == [("here",)]
    restored.close()
