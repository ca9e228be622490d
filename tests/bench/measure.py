"""What a run costs its client."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tcrconsole.runner import PROJECT

TIMED = Path(__file__).with_name("timed.py")
LIMIT_SECONDS = 1800
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds and bytes. `cpu`: user and system, children included."""

    wall: float
    cpu: float
    peak: int

    def __add__(self, other: "Usage") -> "Usage":
        """One after the other."""
        return Usage(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


class Failed(RuntimeError):
    """A command did not do what it was measured for; the message has the end of what it said."""


def run_timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Runs the command in the project's folder. Raises Failed."""
    with tempfile.NamedTemporaryFile() as figures:
        done = subprocess.run(
            [sys.executable, "-IS", TIMED, figures.name, *command],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        read = json.loads(Path(figures.name).read_text() or '{"status": "not started"}')
    if read.pop("status") != 0:
        raise Failed(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}")
    return Usage(**read)


@dataclass(frozen=True)
class Running:
    """A process that was there before and stays."""

    pid: int

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def cpu(self) -> float:
        """Seconds since its start, with those of the children that it waited for (proc(5), fields 14 to 17)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    @property
    def peak(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
