import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection, connections

from sync.models import Instance, SyncRule
from sync.services import turn
from tests.registries import judge, namespace, quick_backoff, source, target
from tests.replication.support import push, some_image
from tests.services.support import make_instance, make_rule, run

__all__ = ["judge", "namespace", "quick_backoff", "source", "target"]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    cache.clear()
    turn.kept_in_target.cache_clear()


@pytest.fixture
def guangzhou(db: None, source: str) -> Instance:
    return make_instance("guangzhou", source)


@pytest.fixture
def frankfurt(db: None, target: str) -> Instance:
    return make_instance("frankfurt", target)


@pytest.fixture
def rule(guangzhou: Instance, frankfurt: Instance, namespace: str) -> SyncRule:
    """Everything of the test's own namespace, from guangzhou to frankfurt."""
    return make_rule(guangzhou, frankfurt, source_namespace=namespace, others=True)


@pytest.fixture
def threads_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """A database that threads write to at once. SQLite's in memory is for one: the threads get a copy in a file."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as copy:
        connection.connection.backup(copy)
    described = connections.databases["default"]
    in_memory, described["NAME"] = described["NAME"], str(tmp_path / "db.sqlite3")
    yield
    described["NAME"] = in_memory


@pytest.fixture
def no_queue(monkeypatch):
    monkeypatch.setattr("sync.queue.enqueue_task", lambda *job: True)
    monkeypatch.setattr("sync.queue.enqueue_dispatch", lambda: True)
    monkeypatch.setattr("sync.queue.queued_tasks", Counter)


@pytest.fixture
def ring(guangzhou, frankfurt, namespace):
    """Both ways, with overwriting."""
    there = make_rule(guangzhou, frankfurt, name="there", source_namespace=namespace, overwrite=True)
    back = make_rule(frankfurt, guangzhou, name="back", source_namespace=namespace, overwrite=True)
    return there, back


@pytest.fixture
def web(namespace):
    return f"{namespace}/web"


@pytest.fixture
def deleting(guangzhou, frankfurt, namespace, web):
    """A rule that deletes up to half of what it brought, and has brought six tags."""
    rule = make_rule(guangzhou, frankfurt, source_namespace=namespace, delete_removed=True, removal_share=50)
    for number in range(6):
        push(guangzhou.url, web, f"v{number}", some_image())
    assert run(rule).copied == 6
    return rule
