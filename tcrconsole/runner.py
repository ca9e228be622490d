"""Several programs on one screen: started again when they die, ended together and in order."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import IO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from tcrconsole.screen import Screen

PROJECT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 60.0
# The pause before a program is started again doubles while it keeps dying young.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
YOUNG_SECONDS = 60.0
# A program that never lived so long, in so many attempts, cannot run at all.
STILLBORN_SECONDS = 10.0
ATTEMPTS = 5
# How long programs may take to end before they are killed; the whole takes less than 10 seconds.
END_SECONDS = 6.0
END_BASE_SECONDS = 2.0
END_KILLED_SECONDS = 0.5
LAST_WORDS_SECONDS = 0.5
# Python hears a signal that came a moment before the main thread fell asleep, or to another thread, when it wakes up.
DEAF_SECONDS = 1.0

# Has the system send SIGTERM to the program when the launcher is gone, however it went; then becomes the program. Not
# a preexec_fn: Python may not run between fork and exec where there are threads. 1 is PR_SET_PDEATHSIG.
LEASH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


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


class Service:
    """A program that is to run, and its process while it does. `say` is given each line of its output."""

    def __init__(self, name: str, program: Program, say: Callable[[str, bytes], None]) -> None:
        self.name = name
        self.due = monotonic()  # when to start it, in seconds of the monotonic clock
        self._program = program
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        self._pause = 0.0
        self._stillborn = 0
        self._ran = False

    @property
    def pid(self) -> int | None:
        """None while it does not run. It leads a session and a process group of its own."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Only the main thread may: the leash is tied to the thread that starts the process. Raises OSError."""
        leash = [sys.executable, "-ISc", LEASH, str(os.getpid())] if sys.platform == "linux" else []
        self._begun = monotonic()
        self._process = subprocess.Popen(
            [*leash, "/bin/sh", "-c", self._program.command],
            cwd=PROJECT,
            env={**os.environ, **self._program.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self._program.open_files,
            # What a terminal signals to all of its processes, SIGHUP above all, is for the runner alone.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def reap(self) -> int | None:
        """The return code when the process has ended; then what it started and left behind is killed."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(LAST_WORDS_SECONDS)
        self._process = None
        return code

    def put_off(self) -> float | None:
        """After it ended by itself: the seconds until it is `due` again. None when it can evidently not run."""
        lived = monotonic() - self._begun
        self._ran = self._ran or lived > STILLBORN_SECONDS
        self._stillborn += 1
        if not self._ran and self._stillborn == ATTEMPTS:
            return None
        young = self._pause and lived < YOUNG_SECONDS
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS) if young else FIRST_PAUSE_SECONDS
        self.due = monotonic() + self._pause
        return self._pause

    def _read(self, output: IO[bytes]) -> None:
        unsaid = self._program.unsaid.encode()
        with output:
            for line in output:
                if not (unsaid and re.search(unsaid, line)):
                    self._say(self.name, line)


class Runner:
    """Runs `programs` and what they stand on, `base`; whatever ends by itself is started again.

    Told to end (SIGINT, SIGTERM, SIGHUP, an output that nobody reads any more) or when something cannot be started, it
    ends the programs first and the base when they are gone, so that workers can hand back their work to a queue that
    still answers.
    """

    def __init__(self, programs: Mapping[str, Program], base: Mapping[str, Program]) -> None:
        # What is to be done by the main thread, which alone starts and ends processes. A signal handler may put into
        # this kind of queue, whatever it interrupts.
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._screen = Screen(lost=lambda: self._events.put(self._end))
        names = [*base, *programs]
        self._printer = Printer(self._screen, width=max(map(len, [*names, "system"])))
        self._printing = threading.Lock()
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._base = [Service(name, program, self._say) for name, program in base.items()]
        self._programs = [Service(name, program, self._say) for name, program in programs.items()]
        self._ending = False
        self._failed = False

    def run(self, port: int, welcome: Callable[[], None]) -> int:
        """Run until the end; gives 0 when the end was asked for, else 1.

        `welcome` is called, in a thread of its own, once the web server on `port` answers; a LaunchError from it ends
        everything. What it prints goes to the screen like all the rest.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._events.put(partial(self._told, number)))
        signal.signal(signal.SIGCHLD, lambda *_: self._events.put(self._reap))
        threading.Thread(target=self._greet, args=(port, welcome), daemon=True).start()
        with redirect_stdout(self._screen):
            while not self._ending:
                self._start_due()
                self._handle_next(min((service.due for service in self._down()), default=None))
            self._end_in_order()
        self._screen.finish()
        return int(self._failed)

    def _handle_next(self, deadline: float | None) -> None:
        """Do what happens next, if anything does before the deadline (monotonic clock) and within DEAF_SECONDS."""
        wait = DEAF_SECONDS if deadline is None else min(deadline - monotonic(), DEAF_SECONDS)
        try:
            event = self._events.get(timeout=max(wait, 0))
        except Empty:
            return
        event()

    def _down(self) -> list[Service]:
        return [service for service in [*self._base, *self._programs] if service.pid is None]

    def _start_due(self) -> None:
        for service in self._down():
            if service.due <= monotonic():
                try:
                    service.start()
                except OSError as error:
                    self._put_off(service, str(error))
                else:
                    self._tell(f"{service.name} started (pid={service.pid})")

    def _reap(self) -> None:
        for service in [*self._base, *self._programs]:
            code = service.reap()
            if code is not None and self._ending:
                self._tell(f"{service.name} stopped (rc={code})")
            elif code is not None:
                self._put_off(service, _how(code))

    def _put_off(self, service: Service, how: str) -> None:
        pause = service.put_off()
        if pause is not None:
            self._tell(f"{service.name} ended by itself ({how}); started again in {pause:.0f} s.")
            return
        self._fail(
            f"{service.name} ended by itself ({how}) within {STILLBORN_SECONDS:.0f} s of its start, {ATTEMPTS} times "
            "in a row, so everything ends. What it said above tells why."
        )

    def _told(self, number: int) -> None:
        self._tell(f"{signal.Signals(number).name} received")
        self._end()

    def _fail(self, message: str) -> None:
        if self._ending:
            return
        self._failed = True
        self._tell(message)
        self._end()

    def _end(self) -> None:
        self._ending = True

    def _end_in_order(self) -> None:
        for services, seconds in ((self._programs, END_SECONDS), (self._base, END_BASE_SECONDS)):
            # Only the programs themselves: they tell their own children. A child that is told twice at once may miss
            # both, as one of its side threads can take the signals while its main thread goes on waiting.
            self._signal(os.kill, services, signal.SIGTERM)
            if not self._all_gone(services, seconds):
                self._signal(os.killpg, services, signal.SIGKILL)
                self._all_gone(services, END_KILLED_SECONDS)

    def _signal(self, send: Callable[[int, int], None], services: Iterable[Service], number: signal.Signals) -> None:
        """Signal those that run: by os.kill, or by os.killpg with all that they started."""
        for service in services:
            if service.pid:
                with suppress(ProcessLookupError):
                    send(service.pid, number)

    def _all_gone(self, services: Iterable[Service], seconds: float) -> bool:
        deadline = monotonic() + seconds
        while any(service.pid for service in services):
            if monotonic() > deadline:
                return False
            self._handle_next(deadline)
        return True

    def _greet(self, port: int, welcome: Callable[[], None]) -> None:
        message = "The welcome failed."
        try:
            if not self._web_comes(port):
                raise LaunchError(f"The web server did not answer within {ANSWER_SECONDS:.0f} seconds.")
            if not self._ending:
                welcome()
            message = ""
        except LaunchError as error:
            message = str(error)
        finally:
            if message:
                self._events.put(partial(self._fail, message))

    def _web_comes(self, port: int) -> bool:
        """Whether the web server answered in time; not waited for any longer when the end has begun."""
        deadline = monotonic() + ANSWER_SECONDS
        while not (self._ending or _web_answers(port)):
            if monotonic() > deadline:
                return False
            sleep(0.05)
        return True

    def _tell(self, text: str) -> None:
        self._say("system", text.encode())

    def _say(self, name: str, line: bytes) -> None:
        with self._printing:
            self._printer.write(Message("line", line, datetime.now(), name, self._colours.get(name)))


def _how(code: int) -> str:
    """How a process ended, from its return code (negative: the number of a signal)."""
    names = {-number: number.name for number in signal.Signals}
    return f"killed by {names.get(code, f'signal {-code}')}" if code < 0 else f"exit status {code}"


def _web_answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException):
            return False
    return True
