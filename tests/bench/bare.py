"""What these registries take by themselves, nearly: a client that knows what is missing and asks only for that.

It asks the fewest requests (docs/performance.md) over bare connections, from threads of this process, and does nothing
else: no digest is checked, and nothing is compared, remembered, written down or tried again.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from demo.artifacts import Artifact
from demo.content import Tagged
from sync.oci.http1 import Headers, Wire, body_of, request_head, tcp_nodelay
from tests.bench.corpus import Corpus, blobs_of
from tests.bench.lane import Lane
from tests.bench.measure import LIMIT_SECONDS, Failed, Usage

AT_ONCE = 16
BUFFER = 1024 * 1024
Work = Callable[[], object]
Place = tuple[str, str]
"""A repository, and a digest that it holds or is to hold."""


@dataclass(frozen=True)
class Bare:
    corpus: Corpus
    name: str = "bare client"

    def sync(self, lane: Lane) -> Usage:
        """Memory is that of the bench, and not told."""
        missing = {"cold": self.corpus.content, "new": self.corpus.new}.get(lane.phase, [])
        held = [] if lane.phase == "cold" else self.corpus.content
        run = _Run(_Side(lane.source_host), _Side(lane.target_host))
        began, cpu = time.monotonic(), time.process_time()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for stage in run.stages(list(held), list(missing), trusting=lane.phase == "quick"):
                list(pool.map(lambda work: work(), stage))
        return Usage(time.monotonic() - began, time.process_time() - cpu, 0)


class _Run:
    def __init__(self, source: "_Side", target: "_Side") -> None:
        self._source, self._target = source, target

    def stages(self, held: list[Tagged], missing: list[Tagged], *, trusting: bool) -> Iterator[Iterable[Work]]:
        """What is in one may be done at once, as soon as all before it is done."""
        both = [self._source, self._target]
        yield [partial(self._source.ask, "GET", "/v2/_catalog?n=1000")]
        names = {item.repository for item in [*held, *missing]}
        yield [partial(side.tags, name) for name in names for side in (both if missing or trusting else both[:1])]
        yield [partial(side.head, item) for item in held for side in (both[:1] if trusting else both)]
        kept, wanted = _places(held), _places(missing)
        known = {digest: repository for repository, digest in kept}
        first = {digest: (repository, digest) for repository, digest in reversed(wanted) if digest not in known}
        yield [partial(self._move, *place) for place in sorted(first.values(), key=lambda place: -wanted[place])]
        known |= {digest: repository for repository, digest in first.values()}
        others = wanted.keys() - kept.keys() - set(first.values())
        yield [partial(self._mount, *place, known[place[1]]) for place in others]
        children = {(one.repository, child.digest): child for one in missing for child in one.artifact.children}
        bodies: dict[str, bytes] = {}
        yield [partial(self._read, place[0], child, bodies) for place, child in _once(children)]
        yield [partial(self._write, place[0], child, child.digest, bodies) for place, child in children.items()]
        yield [partial(self._copy, item) for item in missing]

    def _move(self, repository: str, digest: str) -> None:
        """Through one buffer."""
        source, target = self._source.wire(), self._target.wire()
        size = int(self._source.begin("GET", f"/v2/{repository}/blobs/{digest}").get("Content-Length"))
        session = urlsplit(self._target.ask("POST", _uploads(repository))[0].get("Location"))
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        head = self._target.head_of("PUT", f"{session.path}?{session.query}&digest={digest}", headers)
        body = body_of(source, "GET", 200, Headers({"content-length": str(size)}))
        buffer = memoryview(bytearray(BUFFER))
        blocks = iter(lambda: buffer[: body.read_into(buffer)], b"")
        target.send(head, blocks, chunked=False)
        self._target.end("PUT")

    def _mount(self, repository: str, digest: str, from_repository: str) -> None:
        self._target.ask("POST", f"{_uploads(repository)}?mount={digest}&from={from_repository}")

    def _read(self, repository: str, child: Artifact, bodies: dict[str, bytes]) -> None:
        path = f"/v2/{repository}/manifests/{child.digest}"
        bodies[child.digest] = self._source.ask("GET", path, {"Accept": child.media_type})[1]

    def _copy(self, item: Tagged) -> None:
        bodies: dict[str, bytes] = {}
        path = f"/v2/{item.repository}/manifests/{item.tag}"
        bodies[item.artifact.digest] = self._source.ask("GET", path, {"Accept": item.artifact.media_type})[1]
        self._write(item.repository, item.artifact, item.tag, bodies)

    def _write(self, repository: str, manifest: Artifact, reference: str, bodies: Mapping[str, bytes]) -> None:
        body = bodies[manifest.digest]
        headers = {"Content-Type": manifest.media_type, "Content-Length": str(len(body))}
        self._target.ask("PUT", f"/v2/{repository}/manifests/{reference}", headers, body)


class _Side:
    """One registry, with a connection for each thread."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._own = threading.local()

    def wire(self) -> Wire:
        if not hasattr(self._own, "wire"):
            name, port = self._host.split(":")
            opened = socket.create_connection((name, int(port)))
            tcp_nodelay(opened)
            self._own.wire = Wire(opened, LIMIT_SECONDS)
        wire: Wire = self._own.wire
        return wire

    def tags(self, repository: str) -> None:
        self.wire().send(self.head_of("GET", f"/v2/{repository}/tags/list", {}), None, chunked=False)
        self.end("GET", 404)

    def head(self, item: Tagged) -> None:
        self.ask("HEAD", f"/v2/{item.repository}/manifests/{item.tag}", {"Accept": item.artifact.media_type})

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[Headers, bytes]:
        sent = {"Content-Length": "0"} if method == "POST" else headers or {}
        self.wire().send(self.head_of(method, path, sent), body, chunked=False)
        return self.end(method)

    def begin(self, method: str, path: str) -> Headers:
        """The body of the answer is left to be read."""
        self.wire().send(self.head_of(method, path, {}), None, chunked=False)
        return self._answer()[1]

    def end(self, method: str, *also: int) -> tuple[Headers, bytes]:
        status, headers = self._answer(*also)
        rest, received = body_of(self.wire(), method, status, headers), bytearray()
        block = memoryview(bytearray(BUFFER // 16))
        while count := rest.read_into(block):
            received += block[:count]
        return headers, bytes(received)

    def head_of(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        return request_head(method, path, [("Host", self._host), *headers.items()])

    def _answer(self, *also: int) -> tuple[int, Headers]:
        status, _, headers = self.wire().read_head()
        if not 200 <= status < 300 and status not in also:
            raise Failed(f"The bare client was answered {status} by {self._host}.")
        return status, headers


def _uploads(repository: str) -> str:
    return f"/v2/{repository}/blobs/uploads/"


def _places(items: Iterable[Tagged]) -> dict[Place, int]:
    """Where blobs lie, and their sizes."""
    return {(item.repository, blob.digest): len(blob.data) for item in items for blob in blobs_of(item.artifact)}


def _once(children: Mapping[Place, Artifact]) -> Iterable[tuple[Place, Artifact]]:
    return {child.digest: (place, child) for place, child in children.items()}.values()
