"""Several programs on one screen, ended together and in order: honcho's Manager with the order added."""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from honcho.manager import Manager

PROJECT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60.0
# How long programs may take to end before they are killed; the whole takes less than 10 seconds.
END_SECONDS = 6.0
END_BASE_SECONDS = 2.0


class LaunchError(RuntimeError):
    """The console cannot be started here; the message says why and what to do."""


@dataclass(frozen=True)
class Program:
    """A shell command, run in the project folder with the launcher's environment and `environment` on top."""

    command: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Runner(Manager):  # type: ignore[misc]  # honcho has no types
    """Runs `programs` and what they stand on, `base`.

    Told to end (SIGINT, SIGTERM, SIGHUP) or when one program ends by itself, it ends the programs first and the base
    when they are gone, so that workers can hand back their work to a queue that still answers.
    """

    def __init__(self, programs: Mapping[str, Program], base: Mapping[str, Program]) -> None:
        super().__init__()
        self._base = list(base)
        self._terminating = False
        self._failed = False
        for name, program in {**base, **programs}.items():
            self.add_process(name, program.command, env={**os.environ, **program.environment}, cwd=PROJECT)

    def run(self, port: int, welcome: Callable[[], None]) -> int:
        """Run until the end; gives 0 when the end was asked for, else 1.

        `welcome` is called, in a thread of its own, once the web server on `port` answers; a LaunchError from it ends
        everything.
        """
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        threading.Thread(target=self._greet, args=(port, welcome), daemon=True).start()
        self.loop()
        return int(self._failed)

    def terminate(self) -> None:
        """Called by honcho, more than once: on a signal and when a program has ended."""
        if self._terminating:
            return
        self._terminating = True
        for name in self._gone():
            self._fail(f"{name} ended by itself, so everything ends.")
        threading.Thread(target=self._end_in_order, daemon=True).start()

    def kill(self) -> None:
        """Honcho's deadline counts from the first program that ended and takes no order: _end_in_order has its own."""

    def _greet(self, port: int, welcome: Callable[[], None]) -> None:
        welcomed = False
        try:
            if not self._wait(lambda: self._terminating or _web_answers(port), ANSWER_SECONDS):
                raise LaunchError(f"The web server did not answer within {ANSWER_SECONDS:.0f} seconds.")
            if not self._terminating:
                welcome()
            welcomed = True
        except LaunchError as error:
            self._fail(str(error))
        finally:
            if not welcomed:
                self._failed = True
                self.terminate()

    def _end_in_order(self) -> None:
        self._wait(self._all_started, END_SECONDS)
        programs = self._processes.keys() - self._base
        # Only the programs themselves: they tell their own children. A child that is told twice at once may miss both,
        # as one of its side threads can take the signals while its main thread goes on waiting.
        self._signal(os.kill, programs, signal.SIGTERM)
        if not self._wait(lambda: programs <= self._gone(), END_SECONDS):
            self._signal(os.killpg, programs, signal.SIGKILL)
        self._signal(os.killpg, self._base, signal.SIGTERM)
        if not self._wait(self._all_stopped, END_BASE_SECONDS):
            self._signal(os.killpg, self._processes, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], names: Collection[str], number: signal.Signals) -> None:
        """Signal those that have not ended: by os.kill, or by os.killpg with all that they started."""
        for name in set(names) - self._gone():
            if pid := self._processes[name].get("pid"):
                with suppress(ProcessLookupError):
                    send(pid, number)

    def _gone(self) -> set[str]:
        return {name for name, process in self._processes.items() if process.get("returncode") is not None}

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition came true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _fail(self, message: str) -> None:
        self._failed = True
        self._system_print(message + "\n")


def _web_answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException):
            return False
        return True
