"""The runner: what dies is started again; one end for all, in order, whatever the programs do."""

import ctypes
import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from demo.registries import free_port
from tcrconsole.runner import PROJECT
from tests.support import left_running, wait_until

FOREVER = "while :; do sleep 0.1; done"
# A program that sets a trap says so: the welcome does not wait for it.
HEARS = f"echo it hears; {FOREVER}"
OTHER = "another program"
WEB = f"exec {sys.executable} -m http.server --bind 127.0.0.1 "


@pytest.fixture
def run(tmp_path):
    """run(programs, base): starts a runner in a process of its own; gives it and a function that reads its screen.

    With `output`, a file descriptor, it writes there; `terminal` makes that its controlling terminal, as in a shell.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        programs: dict[str, str],
        base: dict[str, str],
        welcome: str = "print('welcome', flush=True)",
        output: int | None = None,
        terminal: bool = False,
    ):
        port = free_port()
        script = f"""
            import sys
            from tcrconsole.runner import LaunchError, Program, Runner
            def make(lines): return {{name: Program(line) for name, line in lines.items()}}
            def welcome(): {welcome}
            sys.exit(Runner(make({programs | {"web": WEB + str(port)}!r}), make({base!r})).run({port}, welcome))
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        if terminal:
            command = ["setsid", "--ctty", "sh", "-c", f"{shlex.join(command)}; true"]
        environment = os.environ | {"RUNNER_TEST": str(tmp_path)}
        screen = tmp_path / "screen"
        with screen.open("wb") as file:
            end = file if output is None else output
            started.append(
                subprocess.Popen(command, cwd=PROJECT, env=environment, stdin=output, stdout=end, stderr=end)
            )
        return started[-1], screen.read_text

    yield start
    for process in started:
        process.kill()
        process.wait()
    assert left_running(f"RUNNER_TEST={tmp_path}") == []


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_others_stand_on_ends_last(run, told):
    worker = f"trap 'sleep 0.5; echo handed back; exit' TERM; {HEARS}"
    queue = f"trap 'echo queue ends; exit' TERM; {FOREVER}"
    process, screen = run({"worker": worker}, {"queue": queue})
    wait_until(lambda: "welcome" in screen() and "it hears" in screen(), 20)
    process.send_signal(told)
    assert process.wait(10) == 0
    assert screen().index("handed back") < screen().index("queue ends")


def test_a_program_tells_its_children_itself(run):
    """Told twice, once by the runner, a child with several threads may miss both signals."""
    child = f"trap 'echo child told; exit' TERM; {FOREVER}"
    process, screen = run({"worker": f"({child}) & trap 'wait; exit' TERM; {FOREVER}"}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen(), 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "child told" not in screen()


@pytest.mark.parametrize(("name", "base"), [("worker", {"queue": FOREVER}), ("queue", {})])
def test_one_that_ends_by_itself_is_named_and_started_again(run, tmp_path, name, base):
    """After a second, then after two; the others live on meanwhile."""
    dying = f"echo $$ >> {tmp_path}/pids; exec sleep 1000"
    other = f"echo {OTHER} $$; {FOREVER}"
    programs, base = ({name: dying, "other": other}, base) if base else ({"other": other}, {name: dying})
    process, screen = run(programs, base)
    for pause in (1, 2):
        wait_until(partial(_has_started, tmp_path, pause), 20, "the start")
        os.kill(_pids(tmp_path)[-1], signal.SIGKILL)
        told = f"{name} ended by itself (killed by SIGKILL); started again in {pause} s."
        wait_until(partial(_is_shown, screen, told), 5, told)
        killed_at = time.monotonic()
    wait_until(partial(_has_started, tmp_path, 3), 20, "the third start")
    assert 1.5 < time.monotonic() - killed_at < 5
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert screen().count(f"| {OTHER}") == 1


def test_what_a_dead_program_leaves_behind_is_not_doubled(run, tmp_path):
    child = f"echo $$ >> {tmp_path}/pids; {FOREVER}"
    process, screen = run({"worker": f"sh -c {shlex.quote(child)} & echo parent $$ its child $!; wait"}, {})
    wait_until(lambda: "parent" in screen() and _pids(tmp_path), 20)
    os.kill(int(screen().partition("parent ")[2].split()[0]), signal.SIGKILL)
    wait_until(lambda: len(_pids(tmp_path)) == 2, 20, "the second child")
    children = [line for line in left_running(f"RUNNER_TEST={tmp_path}") if line.startswith("sh -c echo")]
    assert len(children) == 1, "the first child lives on beside the second one"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


@pytest.mark.parametrize(("programs", "base"), [({"worker": "exit 3"}, {}), ({}, {"queue": "exit 3"})])
def test_one_that_cannot_run_ends_everything_with_a_sentence(run, programs, base):
    process, screen = run(programs, base)
    assert process.wait(60) == 1
    (name,) = programs or base
    assert screen().count(f"{name} started (pid=") == 5
    assert f"{name} ended by itself (exit status 3) within 10 s of its start, 5 times in a row" in screen()
    assert "so everything ends" in screen()
    assert "web stopped (rc=-15)" in screen()


def test_a_restart_that_is_pending_when_the_end_is_asked_for_does_not_happen(run, tmp_path):
    process, screen = run({"worker": f"echo $$ >> {tmp_path}/pids; exit 3"}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen() and "started again in 4 s" in screen(), 20)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 3, "the end waited for the restart"
    assert len(_pids(tmp_path)) == 3


def test_a_signal_that_another_thread_takes_is_heard(run):
    """The kernel gives a signal to any thread; Python's handlers run in the first one, which sleeps on."""
    process, screen = run({"worker": FOREVER}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen(), 20)
    other = max(int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir())
    assert other != process.pid
    assert ctypes.CDLL(None).tgkill(process.pid, other, signal.SIGTERM) == 0
    assert process.wait(10) == 0
    assert "SIGTERM received" in screen()


def test_programs_end_when_the_runner_itself_is_killed(run, tmp_path):
    """Nobody is left to end them, so the system tells them, and they may still hand back their work."""
    worker = f"trap 'touch {tmp_path}/handed-back; exit' TERM; {HEARS}"
    process, screen = run({"worker": worker}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen() and "it hears" in screen(), 20)
    process.kill()
    wait_until(lambda: left_running(f"RUNNER_TEST={tmp_path}") == [], 10, "the end of everything")
    assert (tmp_path / "handed-back").exists(), "the worker was killed"


def test_one_that_does_not_obey_is_killed_in_time(run):
    process, screen = run({"worker": f"trap '' TERM; {HEARS}"}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen() and "it hears" in screen(), 20)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - begin < 10


def test_a_welcome_that_fails_ends_everything_with_its_reason(run):
    process, screen = run({}, {"queue": FOREVER}, welcome="raise LaunchError('Nothing to show.')")
    assert process.wait(20) == 1
    assert "Nothing to show." in screen()


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_though_its_output_is_gone(run, told, tmp_path):
    """`make demo | tee log`: Ctrl-C ends tee as well."""
    reading, writing = os.pipe()
    process, _ = run({"worker": f"trap 'touch {tmp_path}/handed-back; exit' TERM; {HEARS}"}, {}, output=writing)
    os.close(writing)
    _read_until(reading, b"welcome", b"it hears")
    os.close(reading)
    process.send_signal(told)
    assert process.wait(10) == 0
    assert (tmp_path / "handed-back").exists(), "the worker was killed"


def test_an_output_that_nobody_reads_any_more_ends_everything(run):
    reading, writing = os.pipe()
    process, _ = run({"worker": "while :; do echo news; sleep 0.1; done"}, {"queue": FOREVER}, output=writing)
    os.close(writing)
    _read_until(reading, b"news")
    os.close(reading)
    assert process.wait(10) == 0


def test_it_ends_when_told_though_its_output_is_full(run):
    reading, writing = os.pipe()
    chatter = f"yes {'x' * 100} | head -n 2000; {FOREVER}"
    process, _ = run({"worker": chatter}, {"queue": FOREVER}, output=writing)
    os.close(writing)
    wait_until(lambda: _waiting_bytes(reading) > 50_000, 20, "a full pipe")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    os.close(reading)


def test_a_closed_terminal_ends_everything(run, tmp_path):
    """The system tells the shell, and then with SIGHUP all that the shell had in the foreground."""
    terminal, other_end = pty.openpty()
    worker = f"trap 'touch {tmp_path}/handed-back; exit' TERM; {FOREVER}"
    process, _ = run({"worker": worker}, {"queue": FOREVER}, output=other_end, terminal=True)
    os.close(other_end)
    _read_until(terminal, b"welcome")
    os.close(terminal)
    wait_until(lambda: left_running(f"RUNNER_TEST={tmp_path}") == [], 10, "the end of everything")
    process.wait(1)
    assert (tmp_path / "handed-back").exists(), "the worker was killed"


def _is_shown(screen: Callable[[], str], words: str) -> bool:
    return words in screen()


def _has_started(folder: Path, times: int) -> bool:
    return len(_pids(folder)) == times


def _pids(folder: Path) -> list[int]:
    """Those that programs wrote down at their starts."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _read_until(file: int, *words: bytes) -> None:
    text = b""
    while not all(word in text for word in words):
        part = os.read(file, 65536)
        assert part, f"{words!r} did not all come:\n{text.decode()}"
        text += part


def _waiting_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
