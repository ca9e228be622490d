"""What a process remembers of chart repositories. Bounded: what is forgotten costs a download, no more."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sync.registries.charts.artifact import Chart
from sync.registries.charts.index import Index

Key = TypeVar("Key")
Value = TypeVar("Value")

MEBIBYTE = 1024 * 1024


class Shelf(Generic[Key, Value]):
    """Gives up what was used longest ago when all together weigh more than `limit`. Safe for many threads."""

    def __init__(self, limit: int, weigh: Callable[[Value], int] = lambda value: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._weight += self._weigh(value) - (self._weigh(before) if before is not None else 0)
            self._kept[key] = value
            while self._weight > self._limit:
                self._weight -= self._weigh(self._kept.popitem(last=False)[1])

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._weight = 0


@dataclass(frozen=True, slots=True)
class Known:
    """Of the manifest that a package comes to: its digest and its size."""

    digest: str
    size: int


@dataclass(frozen=True)
class Memory:
    """known: by what an index tells of a package. charts, packages: by the digest of the manifest or package. inside:
    the digest of the package that a manifest of any registry has. indexes: by address and account."""

    known: Shelf[bytes, Known]
    charts: Shelf[str, Chart]
    inside: Shelf[str, str]
    indexes: Shelf[tuple[str, str], Index]

    def forget(self) -> None:
        for shelf in (self.known, self.charts, self.inside, self.indexes):
            shelf.clear()


# Of 100,000 versions about 35 MB, and 8 MiB of manifests; of 100,000 others about 25 MB; indexes about 40 MB.
MEMORY = Memory(
    known=Shelf(100_000),
    charts=Shelf(8 * MEBIBYTE, lambda chart: len(chart.config) + chart.manifest.size),
    inside=Shelf(100_000),
    indexes=Shelf(100_000, lambda index: index.size),
)
