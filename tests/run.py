"""All checks and tests, as `make test` runs them: `python -m tests.run`; `python -m tests.run lint` without tests.

Lint, types, the whole suite on SQLite, then the tests that use the database on PostgreSQL. The last line sums up.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
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
    counts = Counter(passed=0, failed=0)
    for check in CHECKS:
        if not _passes(*check):
            print(f"FAILED: {' '.join(check)}", flush=True)
            counts["failed"] += 1
    if sys.argv[1:] != ["lint"]:
        counts += _pytest("SQLite", {})
        counts += _on_postgresql()
        print(_summary(counts))
    return 1 if counts["failed"] else 0


def _passes(*module: str) -> bool:
    """Run a checker in a data folder of its own: the types of the settings are found by importing them."""
    print(f"-- {' '.join(module)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *module]
        return subprocess.run(command, cwd=PROJECT, env=_environment(DATA_DIR=folder), check=False).returncode == 0


def _on_postgresql() -> Counter[str]:
    programs = PARTS["postgresql"].find()
    if programs is None:
        print(missing_message("postgresql"), flush=True)
        return Counter(failed=1) if in_ci() else Counter(skipped=1)
    with temporary_cluster(programs) as url:
        return _pytest("PostgreSQL", {"DATABASE_URL": url}, "--only-database")


def _pytest(name: str, environment: dict[str, str], *options: str) -> Counter[str]:
    print(f"-- pytest on {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Two more than there are processors here: many tests wait for programs that start and end.
        apart = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
        command = [sys.executable, "-m", "pytest", *apart, *options, f"--junitxml={report}"]
        status = subprocess.run(command, cwd=PROJECT, env=_environment(**environment), check=False).returncode
        counts = _read(report) if report.exists() else Counter()
    if status != 0 and not counts["failed"]:
        print(f"FAILED: pytest on {name} ended with status {status}", flush=True)
        counts["failed"] += 1
    return counts


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
