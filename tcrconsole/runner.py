"""Several programs on one screen, ended together and in order: honcho's Manager with the order added."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from io import TextIOBase
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Popen, Process

PROJECT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60.0
# How long programs may take to end before they are killed; the whole takes less than 10 seconds.
END_SECONDS = 6.0
END_BASE_SECONDS = 2.0
END_KILLED_SECONDS = 0.5
LAST_WORDS_SECONDS = 0.5


class LaunchError(RuntimeError):
    """The console cannot be started here; the message says why and what to do."""


@dataclass(frozen=True)
class Program:
    """A shell command, run in the project folder with the launcher's environment and `environment` on top.

    Lines of its output in which the regular expression `unsaid` is found are not shown. It inherits `open_files`.
    """

    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    unsaid: str = ""
    open_files: tuple[int, ...] = ()


class Screen(TextIOBase):
    """Standard output for those who must neither wait for it nor fail with it: a thread of its own prints.

    When nobody can read any more (a closed pipe or terminal), that thread calls `lost` and ends.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        sys.stdout.flush()
        self._output = sys.stdout
        self._lost = lost
        # Signal handlers write too: unlike print(), this queue may be interrupted by itself.
        self._texts: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._print, daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        self._texts.put(text)
        return len(text)

    def isatty(self) -> bool:
        return self._output.isatty()

    def finish(self) -> None:
        """Print what is left, unless the output takes nothing."""
        self._texts.put(None)
        self._thread.join(LAST_WORDS_SECONDS)

    def _print(self) -> None:
        try:
            while (text := self._texts.get()) is not None:
                data = text.encode(self._output.encoding, "replace")
                while data:
                    data = data[os.write(self._output.fileno(), data) :]
        except OSError:
            self._lost()


class Watcher(Process):  # type: ignore[misc]  # honcho has no types
    """The process that runs one program and tells the runner what it says and when it ends."""

    program: Program

    def run(self, *args: Any) -> None:
        # What a terminal signals to all of its processes, SIGHUP above all, is for the runner alone.
        os.setsid()
        self._child_ctor = partial(Popen, pass_fds=self.program.open_files)
        super().run(*args)

    def _send_message(self, data: Any, type: str = "line") -> None:
        unsaid = self.program.unsaid.encode()
        if not (type == "line" and unsaid and re.search(unsaid, data)):
            super()._send_message(data, type)


class Runner(Manager):  # type: ignore[misc]  # honcho has no types
    """Runs `programs` and what they stand on, `base`.

    Told to end (SIGINT, SIGTERM, SIGHUP, an output that nobody reads any more) or when one program ends by itself, it
    ends the programs first and the base when they are gone, so that workers can hand back their work to a queue that
    still answers.
    """

    def __init__(self, programs: Mapping[str, Program], base: Mapping[str, Program]) -> None:
        self._screen = Screen(lost=self.terminate)
        super().__init__(Printer(self._screen))
        self._process_ctor = Watcher
        self._base = list(base)
        self._ending = threading.Lock()
        self._failed = False
        for name, program in {**base, **programs}.items():
            environment = {**os.environ, **program.environment}
            self.add_process(name, program.command, env=environment, cwd=PROJECT).program = program

    def run(self, port: int, welcome: Callable[[], None]) -> int:
        """Run until the end; gives 0 when the end was asked for, else 1.

        `welcome` is called, in a thread of its own, once the web server on `port` answers; a LaunchError from it ends
        everything. What it prints goes to the screen like all the rest.
        """
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        threading.Thread(target=self._greet, args=(port, welcome), daemon=True).start()
        with redirect_stdout(self._screen):
            self.loop()
        self._screen.finish()
        return int(self._failed)

    def terminate(self) -> None:
        """Called more than once and from several threads: on a signal, when a program or the output has ended."""
        if not self._ending.acquire(blocking=False):
            return
        for name in self._gone():
            self._fail(f"{name} ended by itself, so everything ends.")
        threading.Thread(target=self._end_in_order, daemon=True).start()

    def kill(self) -> None:
        """Honcho's deadline counts from the first program that ended and takes no order: _end_in_order has its own."""

    def _greet(self, port: int, welcome: Callable[[], None]) -> None:
        welcomed = False
        try:
            if not self._wait(lambda: self._ending.locked() or _web_answers(port), ANSWER_SECONDS):
                raise LaunchError(f"The web server did not answer within {ANSWER_SECONDS:.0f} seconds.")
            if not self._ending.locked():
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
            if not self._wait(self._all_stopped, END_KILLED_SECONDS):
                self._give_up_watchers()

    def _give_up_watchers(self) -> None:
        """Honcho's loop goes on until each program is reported gone: a watcher that was killed reports nothing."""
        for name in self._processes.keys() - self._gone():
            self._processes[name]["process"].kill()
            self._processes[name]["returncode"] = -signal.SIGKILL

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
