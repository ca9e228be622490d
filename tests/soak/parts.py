"""Processes that are started again whenever they end, as a process runner does it, and what is done to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

from tcrconsole.runner import LEASH, PROJECT

LOOK_SECONDS = 0.05
READY_SECONDS = 60.0
PAUSE_SECONDS = 1.0
LEAVE_SECONDS = 10.0
FOREVER = float("inf")


@dataclass(eq=False)
class Part:
    """A process of the stage. `ready` says whether it serves; `before_start` is called before each start."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    before_start: Callable[[], None] = lambda: None
    account: Mapping[str, Any] = field(default_factory=dict)
    end_by: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    due: float = 0.0
    began_at: float = 0.0
    serves_since: float = FOREVER
    told_to_leave_at: float | None = None
    frozen: bool = False

    @property
    def up(self) -> bool:
        return self.serves_since != FOREVER

    def disturbed_since(self, moment: float) -> bool:
        """Whether it did not serve at some time after the moment (monotonic seconds): what failed may be forgiven."""
        return self.serves_since > moment

    def signal(self, number: signal.Signals) -> None:
        """To the process and to those that it started in its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def start(self) -> None:
        """Only by the thread that lives as long as all parts: the leash is tied to it."""
        self.before_start()
        leashed = sys.platform == "linux" and not self.account  # that account may not read our Python
        leash = [sys.executable, "-ISc", LEASH, str(os.getpid())] if leashed else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*leash, *self.command],
                cwd=PROJECT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.account,
            )
        self.began_at = monotonic()


class Keeper:
    """Looks after the parts, in a thread of its own: run() returns when all have ended after stop()."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._ending = Event()
        self._errands: list[tuple[float, Callable[[], None]]] = []
        self._lock = Lock()
        self.fell: list[str] = []
        self.leaving_seconds: list[float] = []
        self.overstayed: list[str] = []

    def run(self) -> None:
        try:
            while not self._ending.wait(LOOK_SECONDS):
                for part in self._parts:
                    self._look_after(part)
                self._run_errands()
        finally:
            self._end()

    def stop(self) -> None:
        self._ending.set()

    def kill(self, part: Part, pause: float, number: signal.Signals = signal.SIGKILL) -> None:
        """The part ends at once, and is started again after so many seconds."""
        with self._lock:
            part.serves_since, part.due = FOREVER, monotonic() + pause
            part.signal(number)

    def tell_to_leave(self, part: Part, pause: float) -> None:
        with self._lock:
            part.serves_since, part.due = FOREVER, monotonic() + pause
            part.told_to_leave_at = monotonic()
            part.signal(signal.SIGTERM)

    def freeze(self, part: Part, seconds: float) -> None:
        """It does nothing for so long, then goes on as if nothing had been."""
        with self._lock:
            frozen = part.process
            part.serves_since, part.frozen = FOREVER, True
            part.signal(signal.SIGSTOP)
            self._errands.append((monotonic() + seconds, lambda: self._thaw(part, frozen)))

    def _thaw(self, part: Part, frozen: subprocess.Popen[bytes] | None) -> None:
        if part.process is frozen:
            part.signal(signal.SIGCONT)
            part.serves_since, part.frozen = monotonic(), False

    def _run_errands(self) -> None:
        with self._lock:
            due = [errand for errand in self._errands if errand[0] <= monotonic()]
            self._errands = [errand for errand in self._errands if errand not in due]
            for _, errand in due:
                errand()

    def _look_after(self, part: Part) -> None:
        with self._lock:
            if part.process is None:
                if part.due <= monotonic():
                    part.start()
            elif part.process.poll() is not None:
                self._note_end(part)
            elif part.told_to_leave_at is not None and monotonic() - part.told_to_leave_at > LEAVE_SECONDS:
                self.overstayed.append(part.name)
                part.told_to_leave_at = None
                part.signal(signal.SIGKILL)
        if part.process is not None and not part.up:
            self._ask_whether_it_serves(part)

    def _note_end(self, part: Part) -> None:
        """Ended: by us, or by itself, then the pause begins now."""
        assert part.process is not None
        part.signal(signal.SIGKILL)  # what it left behind in its group
        if part.told_to_leave_at is not None:
            self.leaving_seconds.append(monotonic() - part.told_to_leave_at)
        elif part.due <= part.began_at:
            self.fell.append(f"{part.name} ({part.process.returncode})")
            part.due = monotonic() + PAUSE_SECONDS
        part.process, part.told_to_leave_at, part.serves_since, part.frozen = None, None, FOREVER, False

    def _ask_whether_it_serves(self, part: Part) -> None:
        if part.frozen or part.due > part.began_at:
            return  # or told to end, and not gone yet
        if part.ready():
            part.serves_since = monotonic()
        elif monotonic() - part.began_at > READY_SECONDS:
            raise RuntimeError(
                f"{part.name} does not serve {READY_SECONDS:.0f} seconds after its start: see {part.log}"
            )

    def _end(self) -> None:
        """The last first: those that stand on others, so that workers can give back what they hold."""
        for part in reversed(self._parts):
            part.signal(signal.SIGCONT)
            part.signal(part.end_by)
            self._wait_or_kill(part)

    def _wait_or_kill(self, part: Part) -> None:
        if part.process is None:
            return
        try:
            part.process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.overstayed.append(part.name)
        part.signal(signal.SIGKILL)
        part.process.wait()
