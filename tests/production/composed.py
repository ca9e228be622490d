"""compose.yaml and Dockerfile as they are written: what is run with which settings, without anything that runs them."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
SECRETS = "/run/secrets/"
BIND = "0.0.0.0:8000"
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
    return loaded


def own() -> dict[str, dict[str, Any]]:
    """The services that run the console's image."""
    return {name: service for name, service in services().items() if "build" in service}


def command(service: str, bind: str = BIND) -> list[str]:
    """Its command line with this Python."""
    first, *words = services()[service]["command"]
    program = [sys.executable] if first == "python" else [sys.executable, "-m", first]
    return [*program, *(bind if word == BIND else word for word in words)]


def environment(service: str, secrets: Path, chosen: Mapping[str, str]) -> dict[str, str]:
    """What the service finds, with the secrets of that folder and what .env would set."""
    given = services()[service]["environment"]
    return {name: _filled(value, chosen).replace(SECRETS, f"{secrets}/") for name, value in given.items()}


def _filled(text: str, chosen: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        return chosen.get(name) or (default if sign == "-" else chosen[name])

    return VARIABLE.sub(value, text)


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, with lines that go on joined."""
    text = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def last(word: str, found: Sequence[tuple[str, str]]) -> str:
    return [rest for instruction, rest in found if instruction == word][-1]
