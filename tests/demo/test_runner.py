"""The runner: one end for all, in order, whatever the programs do."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from demo.registries import free_port
from tcrconsole.runner import PROJECT
from tests.support import left_running, wait_until

FOREVER = "while :; do sleep 0.1; done"
WEB = f"exec {sys.executable} -m http.server --bind 127.0.0.1 "


@pytest.fixture
def run(tmp_path):
    """run(programs, base): starts a runner in a process of its own; gives it and a function that reads its screen."""
    started: list[subprocess.Popen[bytes]] = []

    def start(programs: dict[str, str], base: dict[str, str], welcome: str = "print('welcome', flush=True)"):
        port = free_port()
        script = f"""
            import sys
            from tcrconsole.runner import LaunchError, Program, Runner
            def make(lines): return {{name: Program(line) for name, line in lines.items()}}
            def welcome(): {welcome}
            sys.exit(Runner(make({programs | {"web": WEB + str(port)}!r}), make({base!r})).run({port}, welcome))
        """
        screen = tmp_path / "screen"
        with screen.open("wb") as output:
            command = [sys.executable, "-c", textwrap.dedent(script)]
            environment = os.environ | {"RUNNER_TEST": str(tmp_path)}
            started.append(subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output))
        return started[-1], screen.read_text

    yield start
    for process in started:
        process.kill()
        process.wait()
    assert left_running(f"RUNNER_TEST={tmp_path}") == []


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_others_stand_on_ends_last(run, told):
    worker = f"trap 'sleep 0.5; echo handed back; exit' TERM; {FOREVER}"
    queue = f"trap 'echo queue ends; exit' TERM; {FOREVER}"
    process, screen = run({"worker": worker}, {"queue": queue})
    wait_until(lambda: "welcome" in screen(), 20)
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


def test_one_that_ends_by_itself_is_named_and_ends_the_others(run):
    process, screen = run({"worker": "sleep 0.5; exit 3"}, {"queue": FOREVER})
    assert process.wait(20) == 1
    assert "worker stopped (rc=3)" in screen()
    assert "worker ended by itself, so everything ends" in screen()


def test_one_that_does_not_obey_is_killed_in_time(run):
    process, screen = run({"worker": f"trap '' TERM; {FOREVER}"}, {"queue": FOREVER})
    wait_until(lambda: "welcome" in screen(), 20)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - begin < 10


def test_a_welcome_that_fails_ends_everything_with_its_reason(run):
    process, screen = run({}, {"queue": FOREVER}, welcome="raise LaunchError('Nothing to show.')")
    assert process.wait(20) == 1
    assert "Nothing to show." in screen()
