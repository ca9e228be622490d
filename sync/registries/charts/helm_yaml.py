"""YAML as Helm reads it: plain scalars are resolved by YAML 1.1 as Go's yaml.v2 knows it, not as PyYAML does."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any

import yaml

from sync.oci.errors import InvalidManifest

LOADER: Any = getattr(yaml, "CLoader", yaml.SafeLoader)
MOST_NODES = 100_000
DEEPEST = 50

TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
NULL = frozenset({"", "~", "null", "Null", "NULL"})

INFINITE = {f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
NO_NUMBER = frozenset({".nan", ".NaN", ".NAN"})

_INTEGER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"x": 16, "b": 2, "o": 8}


def read_yaml(text: bytes) -> Any:
    """The first document. Raises InvalidManifest for what is no YAML, or grows too large by its aliases."""
    try:
        return _Document(yaml.parse(text, Loader=LOADER)).read()
    except (yaml.YAMLError, ValueError) as problem:
        raise InvalidManifest(f"Chart.yaml is no YAML: {problem}") from problem


def resolved(text: str) -> Any:
    """What a plain scalar stands for. Dates stay text."""
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if text in INFINITE or text in NO_NUMBER:
        return INFINITE.get(text, math.nan)
    if text[0] not in "+-.0123456789":
        return text
    plain = text.replace("_", "")
    number = _integer(plain)
    if number is None and _FLOAT.fullmatch(plain):
        return float(plain)
    return text if number is None else number


def _integer(plain: str) -> int | None:
    """As Go's ParseInt of base 0: a leading 0 makes it octal. None beyond 64 bits."""
    found = _INTEGER.fullmatch(plain)
    if not found or len(plain) > 70:
        return None
    digits = found[2]
    base = _BASES.get(digits[1:2].lower(), 8 if digits.startswith("0") and len(digits) > 1 else 10)
    number = int(digits[2:] if digits[1:2].lower() in _BASES else digits, base) * (-1 if found[1] == "-" else 1)
    return number if -(2**63) <= number < 2**64 else None


class _Document:
    """Counts the nodes, those that aliases repeat with them, and how deep they lie."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._count = 0
        self._anchored: dict[str, tuple[Any, int]] = {}

    def read(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.StreamEndEvent):
                return None
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                return self._node(event, 0)
        return None

    def _node(self, event: Any, depth: int) -> Any:
        before = self._count
        self._grow(1, depth)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchored:
                raise InvalidManifest("Chart.yaml has an alias without its anchor")
            value, size = self._anchored[event.anchor]
            self._grow(size, depth)
            return value
        if isinstance(event, yaml.ScalarEvent):
            value = resolved(event.value) if event.implicit[0] and not event.style else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._node(one, depth + 1) for one in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(depth + 1)
        if event.anchor:
            self._anchored[event.anchor] = (value, self._count - before)
        return value

    def _grow(self, count: int, depth: int) -> None:
        self._count += count
        if self._count > MOST_NODES or depth > DEEPEST:
            raise InvalidManifest("Chart.yaml is larger, or deeper, than any chart's can be")

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _mapping(self, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key, value = self._node(event, depth), self._node(next(self._events), depth)
            if is_merge:
                for one in reversed(value if isinstance(value, list) else [value]):
                    merged |= one if isinstance(one, dict) else {}
            else:
                own[_key(key)] = value
        return merged | own


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, float):
        return go_float(key)
    if isinstance(key, str | int):
        return str(key)
    raise InvalidManifest("Chart.yaml has a key that is no text")


def go_float(value: float) -> str:
    """As strconv.FormatFloat(value, 'g', -1, 32): the shortest text of the nearest number of single precision."""
    single = _single(value)
    if math.isinf(single) or math.isnan(single):
        return "NaN" if math.isnan(single) else f"{'+' if single > 0 else '-'}Inf"
    shortest = next(text for digits in range(17) if _single(float(text := f"{single:.{digits}e}")) == single)
    mantissa, _, power = shortest.partition("e")
    if -4 <= int(power) < 6:
        return f"{single:.{max(0, len(mantissa.lstrip('-').replace('.', '')) - 1 - int(power))}f}"
    return shortest


def _single(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)
