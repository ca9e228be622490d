"""Registries that count, and what is asked of them beside the measured runs."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import groupby
from pathlib import Path

from demo import content
from demo.content import Tagged
from demo.registries import RegistryServer, find_registry_binary, free_port

# A file system that is in memory.
MEMORY = Path("/dev/shm")
AT_ONCE = 4
SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")


@dataclass(frozen=True)
class Traffic:
    """What one registry was asked. `requests` by (kind, method).

    `received`: bytes of requests with their headers, less the bodies that came in chunks without a length.
    `blobs_sent`: bytes of blobs alone. `cpu`: seconds that it took the registry.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    received: int = 0
    blobs_sent: int = 0
    cpu: float = 0.0

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(
            self.requests - before.requests,
            self.received - before.received,
            self.blobs_sent - before.blobs_sent,
            self.cpu - before.cpu,
        )


class CountingRegistry(RegistryServer):
    """Tells what it was asked, by its own figures on its debug address."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._debug_port = free_port()

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "REGISTRY_HTTP_DEBUG_ADDR": f"127.0.0.1:{self._debug_port}",
            "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED": "true",
        }

    def traffic(self) -> Traffic:
        """Since its start."""
        requests: Counter[tuple[str, str]] = Counter()
        received, blobs_sent, cpu = 0.0, 0.0, 0.0
        for name, labels, value in self._samples():
            match name, labels.get("handler"):
                case "registry_http_requests_total", str(handler):
                    requests[handler, labels["method"].upper()] += int(value)
                case "registry_http_request_size_bytes_sum", _:
                    received += value
                case "registry_http_response_size_bytes_sum", "blob":
                    blobs_sent = value
                case "process_cpu_seconds_total", _:
                    cpu = value
        return Traffic(requests, int(received), int(blobs_sent), cpu)

    def _samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        with closing(HTTPConnection("127.0.0.1", self._debug_port, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        for line in text.splitlines():
            if found := SAMPLE.fullmatch(line):
                yield found["name"], dict(re.findall(r'(\w+)="([^"]*)"', found["labels"] or "")), float(found["value"])


@contextmanager
def empty_registry(folder: Path | None = None) -> Iterator[CountingRegistry]:
    """A registry that forgets all in the end: with its own driver for memory, or with files below a folder.

    That driver copies all that it has of a blob whenever it gets a piece more: large blobs are better off as files.
    """
    if folder is None:
        with CountingRegistry(find_registry_binary()) as registry:
            yield registry
        return
    storage = Path(tempfile.mkdtemp(prefix="bench-registry-", dir=folder))
    try:
        with CountingRegistry(find_registry_binary(), data_dir=storage) as registry:
            yield registry
    finally:
        shutil.rmtree(storage)


def fill(url: str, items: Iterable[Tagged]) -> None:
    by_repository = [list(group) for _, group in groupby(items, key=lambda item: item.repository)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda part: content.push(part, url), by_repository))


def remove(host: str, items: Iterable[Tagged]) -> None:
    """Takes tags away, by digests that no other tag has."""
    with closing(HTTPConnection(host, timeout=30)) as connection:
        for item in items:
            connection.request("DELETE", f"/v2/{item.repository}/manifests/{item.artifact.digest}")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                raise RuntimeError(f"{item.repository}:{item.tag} was not removed from the source: {answer.status}")


def wrong_digests(host: str, items: Sequence[Tagged]) -> list[str]:
    """The tags that do not have in the registry the digest that they have in the corpus, with what they have."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = pool.map(lambda first: list(_wrong(host, items[first::AT_ONCE])), range(AT_ONCE))
        return [told for part in parts for told in part]


def _wrong(host: str, items: Sequence[Tagged]) -> Iterator[str]:
    with closing(HTTPConnection(host, timeout=30)) as connection:
        for item in items:
            headers = {"Accept": item.artifact.media_type}
            connection.request("HEAD", f"/v2/{item.repository}/manifests/{item.tag}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            found = answer.headers.get("Docker-Content-Digest", "none")
            if found != item.artifact.digest:
                yield f"{item.repository}:{item.tag} has {found} ({answer.status}), not {item.artifact.digest}"
