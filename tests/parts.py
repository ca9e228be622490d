"""The programs that tests need beside Python's libraries, and where they are. `python -m tests.parts` installs them.

As root on Debian what is missing is installed; elsewhere the command says what to install. Missing parts fail the tests
that need them when CI=true and skip them otherwise.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.registries import RegistryUnavailable, find_registry_binary

POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True)
class Part:
    package: str
    used_for: str
    find: Callable[[], Path | None]


def _on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def _registry() -> Path | None:
    try:
        return find_registry_binary()
    except RegistryUnavailable:
        return None


def _postgresql() -> Path | None:
    """The folder of initdb and postgres: Debian keeps them off PATH, one folder per version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else _on_path("initdb")
    return found.parent if found else None


# The first, made without a screen, took 194 s of processor time for the browser tests, where the second took 334 s.
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

PARTS = {
    "registry": Part("docker-registry", "the registries that tests copy between", _registry),
    "skopeo": Part("skopeo", "judging copies with another program's eyes", lambda: _on_path("skopeo")),
    "postgresql": Part("postgresql", "the second run of the database tests", _postgresql),
    "chromium": Part("chromium-headless-shell", "the browser tests", lambda: _on_path(*CHROMIUM)),
    "curl": Part("curl", "trying the examples of the API as they stand", lambda: _on_path("curl")),
    "jq": Part("jq", "trying the examples of the API as they stand", lambda: _on_path("jq")),
}


def missing_message(name: str) -> str:
    part = PARTS[name]
    return f"{name} is missing, needed for {part.used_for}: install Debian's package {part.package}"


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def require(name: str) -> Path:
    """Where the part is. Without it the calling test fails in CI and is skipped elsewhere, naming the part."""
    found = PARTS[name].find()
    if found is None:
        (pytest.fail if in_ci() else pytest.skip)(missing_message(name))
    return found


def main() -> int:
    missing = [name for name, part in PARTS.items() if part.find() is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _install([PARTS[name].package for name in missing if name != "registry"])
    for name in missing:
        if PARTS[name].find() is None:
            print(missing_message(name))
    return 0


def _install(packages: list[str]) -> None:
    """Failing is no reason to stop here: the tests that miss the part say so."""
    if not packages:
        return
    print(f"Installing what tests need: {', '.join(packages)} ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "--quiet", "--quiet", *command], env=environment, check=False)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Packages installed inside start no service of theirs (policy-rc.d, Debian policy 9.3.3)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
