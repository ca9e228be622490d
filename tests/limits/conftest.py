import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sync.limits import server


@pytest.fixture(autouse=True)
def _nobody_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test found away, the next one asks again."""
    monkeypatch.setattr(server, "_away_until", 0.0)


@pytest.fixture
def unreachable() -> Iterator[Redis]:
    """A server of the queue that refuses connections."""
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    with Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        yield client
