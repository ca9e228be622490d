"""`python -m demo`, really run: one command, a filled registry, a console to sign in to, and nothing left behind."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from demo.content import one_more, push
from demo.registries import free_port
from sync.oci.client import Client
from sync.oci.places import Endpoint
from tcrconsole.runner import PROJECT
from tests.support import left_running, wait_until

pytestmark = pytest.mark.usefixtures("registry_binary")


@dataclass
class Demo:
    """A running demo on a data folder of its own."""

    data_dir: Path
    process: subprocess.Popen[bytes]
    screen: Path

    @property
    def url(self) -> str:
        return self.shown(r"answers at\s+(\S+)")

    def registry(self, name: str) -> Client:
        return Client(Endpoint(url=self.shown(rf"{name}\s+\S+\s+(http\S+)"), name=name))

    def sign_in(self) -> requests.Session:
        user, password = self.shown(r"Sign in as\s+(\S+)"), self.shown(r"with the password\s+(\S+)")
        session = requests.Session()
        session.get(f"{self.url}/login/", timeout=10)
        form = {"username": user, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        answer = session.post(f"{self.url}/login/", data=form, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, "the password on the screen does not open the door"
        return session

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        answer = subprocess.run(command, cwd=PROJECT, env=_environment(self.data_dir), capture_output=True, timeout=120)
        assert answer.returncode == 0, answer.stderr.decode()
        return answer.stdout.decode()

    def end(self) -> None:
        """Ctrl-C: within 10 seconds nothing may be left."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(10) == 0
        assert left_running(f"DATA_DIR={self.data_dir}") == []
        assert time.monotonic() - begin < 10
        assert "rc=-9" not in self.text(), "something did not end by itself and was killed"

    def said_since_welcome(self) -> str:
        return self.text().partition("the data stays in")[2].partition("\n")[2].strip()

    def text(self) -> str:
        return self.screen.read_text()

    def shown(self, pattern: str) -> str:
        found = re.search(pattern, self.text())
        assert found, f"{pattern} is not on the screen:\n{self.text()}"
        return found.group(1)


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    """start_demo(): a demo that is ready, always on the same data folder."""
    with _starter(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for tests that leave it as usable as they found it."""
    with _starter(tmp_path_factory.mktemp("demo")) as start:
        shared = start()
        yield shared
        shared.end()


@contextmanager
def _starter(folder: Path) -> Iterator[Callable[[], Demo]]:
    started: list[Demo] = []

    def start() -> Demo:
        screen = folder / f"screen-{len(started)}"
        # Other tests run consoles and registries at the same time: only the first start chooses the registries' ports.
        ports = {"PORT": str(free_port())}
        if not started:
            ports["REGISTRY_PORTS"] = f"{free_port()},{free_port()}"
        with screen.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "demo"],
                cwd=PROJECT,
                env=_environment(folder / "data") | ports,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        started.append(Demo(folder / "data", process, screen))
        wait_until(lambda: process.poll() is not None or "Try next" in screen.read_text(), 90, "the demo's welcome")
        assert process.poll() is None, screen.read_text()
        return started[-1]

    try:
        yield start
    finally:
        for demo in started:
            if demo.process.poll() is None:
                demo.process.terminate()
                demo.process.wait(15)


def test_one_command_gives_a_console_over_two_registries(start_demo):
    demo = start_demo()
    assert len(list(demo.registry("guangzhou").catalog())) >= 13
    assert list(demo.registry("frankfurt").catalog()) == []
    assert Path(demo.shown(r"kept in (.+)\)")).read_text() == demo.shown(r"with the password\s+(\S+)")
    assert "frankfurt is empty" in demo.text()
    page = demo.sign_in().get(demo.shown(r"open (http\S+)"), timeout=10)
    assert page.status_code == 200
    assert "images-to-frankfurt" in page.text
    assert "charts-to-frankfurt" in page.text
    _its_registries_tell_the_console_of_pushes_and_of_nothing_that_was_there_before(demo)
    demo.end()


def _its_registries_tell_the_console_of_pushes_and_of_nothing_that_was_there_before(demo: Demo) -> None:
    subprocess.run(
        [sys.executable, "-m", "demo", "push"], cwd=PROJECT, env=_environment(demo.data_dir), check=True, timeout=60
    )
    copied = [("guangzhou", "prod/web/frontend", "v3.0.0"), ("frankfurt", "mirror/web/frontend", "v3.0.0")]
    with closing(sqlite3.connect(demo.data_dir / "db.sqlite3")) as database:
        joined = "sync_notification n join sync_instance i on i.id = n.instance_id"
        told = f"select distinct i.name, n.repository, n.tag from {joined}"
        wait_until(lambda: len(database.execute(told).fetchall()) >= 2, 30, "the notifications of both")
        assert sorted(database.execute(told)) == sorted(copied)
    assert "mirror/web/frontend" in set(demo.registry("frankfurt").catalog())


def test_what_the_screen_says_to_try_works(demo):
    demo.manage("bulk_sync", "--all", "--wait")
    arrived = set(demo.registry("frankfurt").catalog())
    assert {"mirror/web/nginx", "mirror/api/orders", "prod/charts/web"} <= arrived
    push = [sys.executable, "-m", "demo", "push"]
    said = subprocess.run(push, cwd=PROJECT, env=_environment(demo.data_dir), check=True, capture_output=True).stdout
    assert b"images-to-frankfurt brings it to frankfurt." in said and "it arrives by itself" in demo.text()
    arrived_tags = demo.registry("frankfurt").tags
    wait_until(lambda: "v3.0.0" in arrived_tags("mirror/web/frontend"), 30, "the arrival of what was pushed")


def test_after_the_welcome_the_screen_stays_as_it_is(demo):
    """The sweep, refused forms, given-up uploads and tags that a registry does not have are no news."""
    session = demo.sign_in()
    session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
    assert session.post(f"{demo.url}/instances/new/", data={"name": "?"}, timeout=10).status_code == 422
    instance = {"kind": "registry", "name": "again", "region": "eu", "url": demo.registry("frankfurt").endpoint.url}
    limits = {"connect_timeout": 10, "read_timeout": 60, "max_connections": 16}
    answer = session.post(f"{demo.url}/instances/test/", data=instance | limits, timeout=10)
    assert "push" in answer.text.lower(), "the connection was not tested"
    demo.manage("bulk_sync", "--all", "--wait")
    log = demo.data_dir / "appendonlydir"
    wait_until(lambda: any(b"sync.jobs.sweep" in part.read_bytes() for part in log.glob("*.aof")), 20, "a sweep")
    assert demo.said_since_welcome() == ""
    assert "rq.cron" not in demo.text()


def test_ended_while_a_task_runs_nothing_is_left(start_demo):
    demo = start_demo()
    with closing(sqlite3.connect(demo.data_dir / "db.sqlite3")) as database:
        database.execute("update sync_instance set max_bytes_per_second = 100000")
        database.commit()
        push((one_more(number) for number in range(80)), demo.registry("guangzhou").endpoint.url)
        demo.manage("bulk_sync", "--all")
        wait_until(lambda: list(demo.registry("frankfurt").catalog()), 30, "the task's first repository")
        demo.end()
        unfinished = database.execute("select count(*) from sync_synctask where finished_at is null").fetchone()
    assert unfinished[0] > 0, "the tasks were too quick to be interrupted"


def test_a_second_start_finds_its_data_again(start_demo):
    first = start_demo()
    password, address = (first.data_dir / "admin_password").read_text(), first.registry("guangzhou").endpoint
    first.manage("bulk_sync", "--all", "--wait")
    first.end()
    second = start_demo()
    assert "Filling" not in second.text()
    assert "is empty" not in second.text()
    assert (second.data_dir / "admin_password").read_text() == password
    assert second.registry("guangzhou").endpoint == address
    assert "mirror/web/nginx" in set(second.registry("frankfurt").catalog())
    assert "charts-to-frankfurt" in second.sign_in().get(second.shown(r"open (http\S+)"), timeout=10).text
    second.end()


def test_a_second_demo_on_the_same_data_is_refused(demo):
    command = [sys.executable, "-m", "demo"]
    answer = subprocess.run(command, cwd=PROJECT, env=_environment(demo.data_dir), capture_output=True, timeout=60)
    assert answer.returncode == 1
    assert b"runs already" in answer.stderr
    demo.sign_in()


def _environment(data_dir: Path) -> dict[str, str]:
    """As in a person's shell: nothing of what this test run set for itself."""
    own = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "PORT")
    return {name: value for name, value in os.environ.items() if name not in own} | {"DATA_DIR": str(data_dir)}
