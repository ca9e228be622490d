"""A console as `make demo` starts it, and a browser before it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.registries import free_port
from tests.support import wait_until

# What is waited for comes sooner or later: how soon is asserted where it matters.
expect.set_options(timeout=15_000)
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Console:
    url: str
    password: str
    registries: dict[str, str]
    data_dir: Path


@pytest.fixture(scope="package")
def console(registry_binary: Path) -> Iterator[Console]:
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        screen = Path(folder) / "screen"
        environment = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL")}
        with screen.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "demo"],
                cwd=PROJECT,
                # Other demos that start at the same moment want the usual ports, too.
                env=environment | {"DATA_DIR": f"{folder}/data", "REGISTRY_PORTS": f"{free_port()},{free_port()}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(lambda: "Ctrl-C ends" in screen.read_text(), 180, "the welcome of the demo")
            told = screen.read_text()
            registries = dict(re.findall(r"^    (guangzhou|frankfurt) .*(http://\S+)$", told, re.MULTILINE))
            url, password = re.findall(r"answers at +(\S+)|the password +(\S+)", told)
            yield Console(url[0], password[1], registries, Path(folder) / "data")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.fixture(scope="package")
def browser(chromium: Path) -> Iterator[Browser]:
    """Ended with this package: while Playwright runs, Django takes the thread for an asynchronous one."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=str(chromium), args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A signed-in page. What the browser complains about, and requests to other hosts, fail the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=console.url)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: None if request.url.startswith(console.url) else complaints.append(request.url))
    page.goto("/login/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(console.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/rules/")
    yield page
    context.close()
    assert complaints == []
