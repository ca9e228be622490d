from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.registries import RegistryServer
from sync.oci.client import Client, Endpoint
from tests.fakes.registry import FakeRegistry


@pytest.fixture(scope="module")
def registry(registry_binary: Path) -> Iterator[RegistryServer]:
    with RegistryServer(registry_binary) as server:
        yield server


@pytest.fixture
def client(registry: RegistryServer) -> Client:
    return Client(Endpoint(registry.url, name="prod-eu"), side="target")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 0.01)
