"""Chart.yaml as the configuration of an OCI chart: the JSON that Helm 3 writes of it, byte for byte.

Sources: helm.sh/helm/v3 pkg/chart metadata.go and dependency.go (order of the fields, which of them are left out when
empty, which are cleaned), sigs.k8s.io/yaml (numbers and booleans where text belongs become text), encoding/json.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from sync.oci.errors import InvalidManifest
from sync.registries.charts.helm_yaml import go_float, read_yaml

Reader = Callable[[Any, str], Any]

# What encoding/json escapes so that JSON may stand in a web page, and what JavaScript takes for the end of a line.
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def read_metadata(chart_yaml: bytes, requirements: bytes = b"") -> dict[str, Any]:
    """The fields that are not empty, in Helm's order. requirements: requirements.yaml, where Helm 2 kept dependencies.

    Raises InvalidManifest for what Helm would not take either.
    """
    document = _object(read_yaml(chart_yaml), "Chart.yaml")
    if requirements:
        document = document | _object(read_yaml(requirements), "requirements.yaml")
    if document.get("apiVersion") is None:
        document = document | {"apiVersion": "v1"}
    metadata = _filled(document, _CHART)
    for name in ("name", "version", "apiVersion"):
        if name not in metadata:
            raise InvalidManifest(f"Chart.yaml has no {name}")
    return metadata


def as_json(document: Mapping[str, Any]) -> bytes:
    """As Go's encoding/json writes it. Raises InvalidManifest for text that is no Unicode."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)
    try:
        return text.encode()
    except UnicodeEncodeError as problem:
        raise InvalidManifest("Chart.yaml holds what is no Unicode text") from problem


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidManifest(f"{name} is not an object")
    return value


def _filled(document: Mapping[str, Any], fields: Mapping[str, Reader], kept: tuple[str, ...] = ()) -> dict[str, Any]:
    """Names of fields may come in any case, of several the last by the alphabet counts. kept: written even empty."""
    given = {key.lower(): value for key, value in sorted(document.items())}
    read = {name: reader(given.get(name.lower()), name) for name, reader in fields.items()}
    return {name: value for name, value in read.items() if value or name in kept}


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, int | str):
        return str(value)
    raise InvalidManifest(f"{name} in Chart.yaml is not text")


def _clean(value: Any, name: str) -> str:
    """Any white space is a blank, what cannot be printed is left out."""
    text = _text(value, name)
    return "".join(" " if sign.isspace() else sign for sign in text if sign.isspace() or _can_be_printed(sign))


def _can_be_printed(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMNPS"


def _truth(value: Any, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidManifest(f"{name} in Chart.yaml is neither true nor false")


def _list_of(reader: Reader) -> Reader:
    def read(value: Any, name: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise InvalidManifest(f"{name} in Chart.yaml is not a list")
        return [reader(one, name) for one in value]

    return read


def _texts_by_name(value: Any, name: str) -> dict[str, str]:
    found = {} if value is None else _object(value, f"{name} in Chart.yaml")
    return {key: _text(found[key], name) for key in sorted(found)}


def _entry(fields: Mapping[str, Reader], kept: tuple[str, ...] = ()) -> Reader:
    return lambda value, name: _filled(_object(value, f"an entry of {name} in Chart.yaml"), fields, kept)


def _anything(value: Any, name: str) -> Any:
    """Keys in order; numbers as JavaScript would write them, as far as charts have any."""
    if isinstance(value, dict):
        return {key: _anything(value[key], name) for key in sorted(value)}
    if isinstance(value, list):
        return [_anything(one, name) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


_MAINTAINER: dict[str, Reader] = {"name": _clean, "email": _clean, "url": _clean}
_DEPENDENCY: dict[str, Reader] = {
    "name": _clean,
    "version": _clean,
    "repository": _clean,
    "condition": _clean,
    "tags": _list_of(_clean),
    "enabled": _truth,
    "import-values": _list_of(_anything),
    "alias": _text,
}
_CHART: dict[str, Reader] = {
    "name": _clean,
    "home": _clean,
    "sources": _list_of(_clean),
    "version": _text,
    "description": _clean,
    "keywords": _list_of(_clean),
    "maintainers": _list_of(_entry(_MAINTAINER)),
    "icon": _clean,
    "apiVersion": _text,
    "condition": _clean,
    "tags": _clean,
    "appVersion": _clean,
    "deprecated": _truth,
    "annotations": _texts_by_name,
    "kubeVersion": _clean,
    "dependencies": _list_of(_entry(_DEPENDENCY, kept=("name", "repository"))),
    "type": _text,
}
