"""All checks and tests, as `make test` runs them: `python -m tests.run`; `python -m tests.run lint` without tests.

Lint and types, the whole suite on SQLite, the tests that use the database on PostgreSQL: all at the same time, as each
leaves the processors something. SQLite is shown as it goes, the others when they have ended. The last line sums up.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from tests.parts import PARTS, in_ci, missing_message
from tests.postgres import temporary_cluster

PROJECT = Path(__file__).resolve().parent.parent
# What a person's shell may hold for a console of their own.
OWN_DATA = ("DATABASE_URL", "REDIS_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE")
CHECKS = (
    ("ruff", "check", "--quiet", "."),
    ("ruff", "format", "--check", "--quiet", "."),
    ("mypy", "--no-error-summary", "."),
)


def main() -> int:
    parts: list[Callable[[], Counter[str]]] = [_lint]
    if sys.argv[1:] != ["lint"]:
        parts += [_on_sqlite, _on_postgresql]
    with ThreadPoolExecutor(len(parts)) as pool:
        counts = sum(pool.map(lambda part: part(), parts), Counter(passed=0, failed=0))
    if sys.argv[1:] != ["lint"]:
        print(_summary(counts))
    return 1 if counts["failed"] else 0


def _lint() -> Counter[str]:
    """In a data folder of their own: the types of the settings are found by importing them."""
    failed = 0
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            status, said = _told([sys.executable, "-m", *check], _environment(DATA_DIR=folder))
        print(f"-- {' '.join(check)}\n{said}", end="", flush=True)
        if status != 0:
            print(f"FAILED: {' '.join(check)}", flush=True)
            failed += 1
    return Counter(failed=failed)


def _on_sqlite() -> Counter[str]:
    return _pytest("SQLite", {}, "-n", "3", live=True)


def _on_postgresql() -> Counter[str]:
    programs = PARTS["postgresql"].find()
    if programs is None:
        print(missing_message("postgresql"), flush=True)
        return Counter(failed=1) if in_ci() else Counter(skipped=1)
    with temporary_cluster(programs) as url:
        return _pytest("PostgreSQL", {"DATABASE_URL": url}, "-n", "2", "--only-database")


def _pytest(name: str, environment: dict[str, str], *options: str, live: bool = False) -> Counter[str]:
    """Together they are more than there are processors here: many tests wait for programs that start and end."""
    if live:
        print(f"-- pytest on {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        apart = ("--dist", "loadfile", "--no-loadscope-reorder")
        command = [sys.executable, "-m", "pytest", *options, *apart, f"--junitxml={report}"]
        status, said = _told(command, _environment(**environment), live=live)
        counts = _read(report) if report.exists() else Counter()
    if not live:
        print(f"-- pytest on {name}\n{said}", end="", flush=True)
    if status != 0 and not counts["failed"]:
        print(f"FAILED: pytest on {name} ended with status {status}", flush=True)
        counts["failed"] += 1
    return counts


def _told(command: list[str], environment: dict[str, str], *, live: bool = False) -> tuple[int, str]:
    """The command's status and what it said, to be shown in one piece; what is live shows that itself."""
    said = None if live else subprocess.PIPE
    errors = None if live else subprocess.STDOUT
    done = subprocess.run(command, cwd=PROJECT, env=environment, text=True, stdout=said, stderr=errors, check=False)
    return done.returncode, done.stdout or ""


def _read(report: Path) -> Counter[str]:
    """Counts of a JUnit report written by the command above; an error outside a test is a failure, too."""
    counts: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
        )
        counts += Counter(failed=failures + errors, skipped=skipped, passed=tests - failures - errors - skipped)
    return counts


def _environment(**values: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OWN_DATA} | values


def _summary(counts: Counter[str]) -> str:
    shown = [f"{counts['passed']} passed", f"{counts['failed']} failed"]
    return ", ".join([*shown, *([f"{counts['skipped']} skipped"] if counts["skipped"] else [])])


if __name__ == "__main__":
    sys.exit(main())
