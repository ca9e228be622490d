"""Lines of the log: which task and rule they are about, as text or as JSON, and never a secret in them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

from sync.oci.errors import hide_secrets

# Of the whole process, not of a thread: a worker does one job at a time, and the threads of the engine belong to it.
_about: dict[str, int] = {}
KEPT = ("time", "level", "logger", "message", *("task", "rule"), "exc_info", "stack_info")
NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


@contextmanager
def about(**ids: int | None) -> Iterator[None]:
    """For the time of a job: what the lines of this process are about."""
    _about.update({name: pk for name, pk in ids.items() if pk is not None})
    try:
        yield
    finally:
        _about.clear()


@contextmanager
def told_through(change: Callable[[str], str]) -> Iterator[None]:
    """Meanwhile all that is logged, tracebacks included, goes through this before anybody reads it."""
    before = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    for handler, formatter in before:
        handler.setFormatter(_Changed(formatter or logging.Formatter(), change))
    try:
        yield
    finally:
        for handler, formatter in before:
            handler.setFormatter(formatter)


class _Changed(logging.Formatter):
    def __init__(self, inner: logging.Formatter, change: Callable[[str], str]) -> None:
        super().__init__()
        self._inner, self._change = inner, change

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        if record.exc_info:
            said = f"{said}\n{self._inner.formatException(record.exc_info)}"
        told = copy(record)
        told.msg, told.args, told.exc_info, told.exc_text = self._change(said), None, None, None
        return self._inner.format(told)


class Complete(logging.Filter):
    """Adds the IDs of task and rule, and takes out what may be a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, pk in _about.items():
            setattr(record, name, pk)
        record.msg, record.args = hide_secrets(record.getMessage()), None
        return True


class Text(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        return hide_secrets(super().formatException(ei))


class Json(JsonFormatter):
    """One object a line. What libraries attach besides, as the request of a page, is not told."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=NAMES)
        self.default_time_format, self.default_msec_format = "%Y-%m-%dT%H:%M:%S%z", ""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return hide_secrets("".join(super().formatException(ei)))

    def process_log_record(self, log_data: LogData) -> LogData:
        return {name: value for name, value in super().process_log_record(log_data).items() if name in KEPT}
