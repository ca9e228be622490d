from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.registries import RegistryServer
from sync.oci.client import Client, Endpoint
from tests.fakes.registry import FakeRegistry
from tests.oci.sending import CONTENT, SOURCE, serve


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


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    """Where the blob is read from; it understands Range."""
    with FakeRegistry() as fake:
        fake.script("GET", SOURCE, serve)
        yield fake


@pytest.fixture
def in_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the blob were larger than what goes in one PUT."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
