"""Pulls every tag of the target while tasks run, with plain requests of its own: each must be whole, none goes back."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from random import Random
from threading import Event
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from demo import artifacts
from tests.soak.corpus import Corpus, Key
from tests.soak.figures import Figures
from tests.soak.parts import Part

ACCEPT = ", ".join((artifacts.OCI_INDEX, artifacts.OCI_MANIFEST, artifacts.DOCKER_LIST, artifacts.DOCKER_MANIFEST))
# One of so many blobs is read whole, the others are asked for.
READ_ONE_OF = 40
# The registry rewrites its link files in place: who asks in that instant is answered wrongly, and asks again.
LOOKS, LOOK_AGAIN_SECONDS = 5, 0.1
ROUND_PAUSE_SECONDS = 0.5


class NotWhole(Exception):
    """Something of it cannot be had; the message says what."""


class Looker:
    def __init__(self, url: str, target: Part, corpus: Corpus, figures: Figures, random: Random) -> None:
        self._host = urlsplit(url).netloc
        self._target = target
        self._corpus = corpus
        self._figures = figures
        self._random = random
        self._connection = HTTPConnection(self._host, timeout=30)
        self._seen: set[tuple[str, str]] = set()
        # The newest version that was seen of each tag of the target.
        self._newest: dict[Key, int] = {}
        # Which namespace of the target is looked at, and of which namespace of the source it is a copy.
        self.rooms: dict[str, str] = {}
        self.current: str | None = None

    def run(self, ended: Event) -> None:
        """Round after round over the current namespace; over all of them when it is ended."""
        while not ended.wait(ROUND_PAUSE_SECONDS):
            if self.current is not None:
                self.look(self.current, ended.is_set)
        for namespace in self.rooms:
            self.look(namespace)

    def look(self, namespace: str, enough: Callable[[], bool] = lambda: False) -> dict[Key, str]:
        """One round over a namespace of the target: the digest of each tag that is whole, by the source's names."""
        self._seen.clear()
        room = self.rooms[namespace]
        digests: dict[Key, str] = {}
        for repository in sorted({key[0] for key in self._corpus.of(room)}):
            there = f"{namespace}{repository.removeprefix(room)}"
            for tag in self._patiently(there, partial(self._tags, there)) or []:
                if enough():
                    return digests
                digest = self._patiently(f"{there}:{tag}", partial(self._whole, there, tag))
                if digest:
                    digests[repository, tag] = digest
                    self._compare((repository, tag), there, digest)
        return digests

    def _compare(self, key: Key, there: str, digest: str) -> None:
        self._figures.tags_seen += 1
        if key not in self._corpus.history:
            return  # where signatures lie; each registry keeps that index in its own way
        version, newest = self._corpus.version(key, digest), self._newest.get((there, key[1]), 0)
        if version is None:
            self._figures.is_wrong(f"{there}:{key[1]} has {digest}, which the source never had")
        elif version < newest:
            self._figures.is_wrong(f"{there}:{key[1]} went back from version {newest} to {version}")
        else:
            self._newest[there, key[1]] = version

    def _patiently(self, what: str, call: Callable[[], Any]) -> Any:
        """What it gives; None when the target was down meanwhile, by our own doing, or when it is wrong."""
        for look in range(LOOKS):
            began = monotonic()
            try:
                return call()
            except (NotWhole, OSError, HTTPException) as error:
                self._connection.close()
                if self._target.disturbed_since(began):
                    self._wait_for_the_target()
                    return None
                self._figures.flickers += look == 0
                said = str(error)
            sleep(LOOK_AGAIN_SECONDS)
        self._figures.is_wrong(f"{what} cannot be pulled: {said}")
        return None

    def _wait_for_the_target(self) -> None:
        while not self._target.up:
            sleep(LOOK_AGAIN_SECONDS)

    def _tags(self, repository: str) -> list[str]:
        status, body = self._ask("GET", f"/v2/{repository}/tags/list")
        if status == 404:
            return []
        if status != 200:
            raise NotWhole(f"its tags are answered with {status}")
        return json.loads(body)["tags"] or []

    def _whole(self, repository: str, reference: str) -> str:
        """The digest of a manifest all parts of which are there. Raises NotWhole."""
        status, body = self._ask("GET", f"/v2/{repository}/manifests/{reference}")
        digest = f"sha256:{sha256(body).hexdigest()}"
        if status != 200 or (":" in reference and digest != reference):
            raise NotWhole(f"the manifest {reference} is answered with {status}, {digest}")
        for child, size, is_manifest in _parts(json.loads(body)):
            if (repository, child) not in self._seen:
                if is_manifest:
                    self._whole(repository, child)
                else:
                    self._blob(repository, child, size)
                self._seen.add((repository, child))
        return digest

    def _blob(self, repository: str, digest: str, size: int) -> None:
        path = f"/v2/{repository}/blobs/{digest}"
        if self._random.randrange(READ_ONE_OF):
            status, _ = self._ask("HEAD", path)
            length = int(self._length or -1)
        else:
            status, body = self._ask("GET", path)
            length = len(body) if f"sha256:{sha256(body).hexdigest()}" == digest else -1
            self._figures.blobs_read += 1
        if status != 200 or length != size:
            raise NotWhole(f"the blob {digest} is answered with {status}, {length} bytes in place of {size}")

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        self._connection.request(method, path, headers={"Accept": ACCEPT})
        answer = self._connection.getresponse()
        self._length = answer.getheader("Content-Length")
        return answer.status, answer.read()


def _parts(manifest: dict[str, Any]) -> Iterator[tuple[str, int, bool]]:
    """(digest, bytes, whether it is a manifest) of what a manifest refers to."""
    for child in manifest.get("manifests", []):
        yield child["digest"], child["size"], True
    blobs = [manifest["config"], *manifest["layers"]] if "config" in manifest else []
    for blob in blobs:
        yield blob["digest"], blob["size"], False
