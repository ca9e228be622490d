"""A signed-in user who asks for pages all the time."""

import re
from itertools import cycle
from threading import Event
from time import monotonic

import requests

from tests.soak.figures import Figures
from tests.soak.parts import Part
from tests.soak.stage import Stage

USERNAME, PASSWORD = "visitor", "a long password of the soak"
PAUSE_SECONDS = 0.3
PAGE_SECONDS = 20.0


class Visitor:
    def __init__(self, stage: Stage, figures: Figures) -> None:
        self._url = stage.web_url
        self._stands_on: list[Part] = [stage.web, *([stage.database] if stage.database else [])]
        self._figures = figures
        self._session: requests.Session | None = None
        self.task: int | None = None

    def run(self, ended: Event) -> None:
        for kind in cycle(("rules", "task")):
            if ended.wait(PAUSE_SECONDS):
                return
            if self.task is not None:
                self._visit("/i/source/rules/" if kind == "rules" else f"/i/source/tasks/{self.task}/")

    def _visit(self, path: str) -> None:
        """A fault counts unless the web server or the database was away meanwhile, by our own doing."""
        began = monotonic()
        try:
            answer = self._signed_in().get(f"{self._url}{path}", timeout=PAGE_SECONDS, allow_redirects=False)
            fault = "" if answer.status_code == 200 else f"status {answer.status_code}"
        except requests.RequestException as error:
            fault = str(error)
        if any(part.disturbed_since(began) for part in self._stands_on):
            return
        self._figures.pages += 1
        if fault:
            self._figures.page_faults += 1
            self._figures.is_wrong(f"the page {path}: {fault}")

    def _signed_in(self) -> requests.Session:
        if self._session is None:
            session = requests.Session()
            form = session.get(f"{self._url}/login/", timeout=PAGE_SECONDS)
            form.raise_for_status()
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
            sent = {"username": USERNAME, "password": PASSWORD, "csrfmiddlewaretoken": token[1] if token else ""}
            answer = session.post(f"{self._url}/login/", data=sent, timeout=PAGE_SECONDS, allow_redirects=False)
            if answer.status_code != 302:
                raise requests.HTTPError(f"signing in was answered with {answer.status_code}")
            self._session = session
        return self._session
