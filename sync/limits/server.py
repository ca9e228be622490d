"""Asking the queue's server, which all workers share. Without it everybody goes on by himself."""

import logging
import threading
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from sync import queue

log = logging.getLogger(__name__)

# A server that failed is not asked again for so long.
AWAY_SECONDS = 5.0

_lock = threading.Lock()
_away_until = 0.0


def ask(script: str, key: str, *values: str | float) -> Any:
    """What the Lua script gives, called with the key and the values; None when the server does not answer."""
    global _away_until
    if monotonic() < _away_until:
        return None
    try:
        answer = queue.server().eval(script, 1, key, *values)
    except RedisError as error:
        with _lock:
            told, _away_until = _away_until, monotonic() + AWAY_SECONDS
        if not told:
            log.warning("the limits of instances hold for each worker by itself, until the queue answers: %s", error)
        return None
    if _away_until:
        _away_until = 0.0
        log.info("the limits of instances hold for all workers together again")
    return answer
