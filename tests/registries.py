"""Fixtures for tests that copy: two registries that live long, and a namespace in them for each test alone."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from demo.registries import RegistryServer
from tests.support import Judge

_numbers = count(1)


@pytest.fixture(scope="session")
def source(registry_binary: Path) -> Iterator[str]:
    """The address of a registry that tests copy from."""
    with RegistryServer(registry_binary) as server:
        yield server.url


@pytest.fixture(scope="session")
def target(registry_binary: Path) -> Iterator[str]:
    """The address of a registry that tests copy to."""
    with RegistryServer(registry_binary) as server:
        yield server.url


@pytest.fixture
def namespace() -> str:
    return f"space-{next(_numbers)}"


@pytest.fixture(scope="session")
def judge(skopeo: Path) -> Judge:
    return Judge(skopeo)


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 0.01)
