"""index.yaml of a chart repository, read as a stream: of each version only what leads to its package is kept."""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from sync.oci.errors import ProtocolViolation, readable
from sync.registries.charts.artifact import tag_of
from sync.registries.charts.helm_yaml import LOADER

log = logging.getLogger(__name__)

MOST_VERSIONS = 200_000
DEEPEST = 100
TEXT_LIMIT = 2000

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_SCALARS = ("version", "digest", "created")


class Source(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Version:
    """One package. digest: of its bytes, with its algorithm; as it stands there where it is none; blank if untold."""

    version: str
    url: str
    digest: str = ""
    created: str = ""


@dataclass(frozen=True)
class Index:
    """charts: the versions by tag, by the name of the chart. etag, modified: what to ask with whether it is new."""

    charts: dict[str, dict[str, Version]] = field(default_factory=dict)
    etag: str = ""
    modified: str = ""

    @property
    def size(self) -> int:
        return 1 + sum(map(len, self.charts.values()))


def read_index(source: Source, name: str) -> dict[str, dict[str, Version]]:
    """The versions by tag, by chart. name: for the log.

    Raises ProtocolViolation for what is no index, and what `source` raises. Of versions with one tag the first counts;
    what has no version or no address is left out.
    """
    try:
        return _Reading(yaml.parse(source, Loader=LOADER), name).read()
    except (yaml.YAMLError, ValueError) as problem:
        raise ProtocolViolation(f"its index.yaml is no YAML: {readable(str(problem), 200)}") from problem


def digest_told(text: str) -> str:
    """Indexes tell sha256 in hex, with the algorithm or without."""
    value = text.strip().removeprefix("sha256:")
    return f"sha256:{value.lower()}" if _HEX.fullmatch(value) else readable(text, 100)


class _Reading:
    """Goes through the events of a document once, holding none. Aliases are not followed."""

    def __init__(self, events: Iterator[Any], name: str) -> None:
        self._events = events
        self._name = name
        self._count = 0
        self._left_out: Counter[str] = Counter()

    def read(self) -> dict[str, dict[str, Version]]:
        charts: dict[str, dict[str, Version]] = {}
        seen = set()
        for event in self._events:
            if isinstance(event, yaml.MappingStartEvent):
                break
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                raise ProtocolViolation("its index.yaml is not an object")
        for key, value in self._pairs():
            seen.add(key)
            if key == "entries" and isinstance(value, yaml.MappingStartEvent):
                self._entries(charts)
            else:
                self._skip(value)
        if not seen & {"apiVersion", "entries"}:
            raise ProtocolViolation("its index.yaml has neither apiVersion nor entries")
        for why, count in self._left_out.items():
            log.warning("%s: left out of the index: %d %s", self._name, count, why)
        return charts

    def _entries(self, charts: dict[str, dict[str, Version]]) -> None:
        for name, value in self._pairs():
            if not isinstance(value, yaml.SequenceStartEvent):
                self._skip(value)
                self._left_out["charts whose versions are no list"] += not _is_null(value)
                continue
            versions = charts.get(name, {})
            for item in self._items():
                self._version(item, versions)
            if versions and name:
                charts[name] = versions

    def _version(self, event: Any, versions: dict[str, Version]) -> None:
        if not isinstance(event, yaml.MappingStartEvent):
            self._skip(event)
            self._left_out["versions that are no object"] += 1
            return
        told = self._fields()
        version, url = told.get("version", ""), told.get("url", "")
        if not version or not url:
            self._left_out["versions without version or address"] += 1
        elif tag_of(version) in versions:
            self._left_out["versions that are listed twice"] += 1
        else:
            self._count += 1
            if self._count > MOST_VERSIONS:
                raise ProtocolViolation(f"its index.yaml lists more than {MOST_VERSIONS} versions")
            digest = digest_told(told.get("digest", ""))
            # One object for both, which is most of them.
            version = sys.intern(version)
            versions[sys.intern(tag_of(version))] = Version(version, url, digest, told.get("created", ""))

    def _fields(self) -> dict[str, str]:
        told: dict[str, str] = {}
        for key, value in self._pairs():
            if key in _SCALARS and isinstance(value, yaml.ScalarEvent):
                told[key] = readable(value.value, TEXT_LIMIT) if not _is_null(value) else ""
            elif key == "urls" and isinstance(value, yaml.SequenceStartEvent):
                told["url"] = self._first_text()
            else:
                self._skip(value)
        return told

    def _first_text(self) -> str:
        first = ""
        for item in self._items():
            if not first and isinstance(item, yaml.ScalarEvent) and len(item.value) <= TEXT_LIMIT:
                first = item.value.strip()
            self._skip(item)
        return first

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        """The keys of the mapping that has begun, each with the event that its value begins with."""
        for key in self._events:
            if isinstance(key, yaml.MappingEndEvent):
                return
            if not isinstance(key, yaml.ScalarEvent):
                self._skip(key)
            yield getattr(key, "value", "") if isinstance(key, yaml.ScalarEvent) else "", next(self._events)

    def _items(self) -> Iterator[Any]:
        for item in self._events:
            if isinstance(item, yaml.SequenceEndEvent):
                return
            yield item

    def _skip(self, event: Any) -> None:
        """To the end of what has begun with the event."""
        depth = int(isinstance(event, _STARTS))
        while depth:
            event = next(self._events)
            if isinstance(event, _STARTS):
                depth += 1
                if depth > DEEPEST:
                    raise ProtocolViolation("its index.yaml is deeper than any index")
            elif isinstance(event, _ENDS):
                depth -= 1


def _is_null(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in ("", "~", "null")


def looks_like_index(beginning: bytes) -> bool:
    """By its first few thousand bytes."""
    return re.search(rb"(?m)^\s*[{]?\s*\"?(apiVersion|entries|generated)\"?\s*:", beginning) is not None
