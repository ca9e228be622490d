"""Reading blobs of a registry (OCI distribution 1.1, "Pulling Blobs")."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from sync.oci.errors import DigestMismatch, OciError, Unreachable
from sync.oci.manifest import Descriptor
from sync.oci.reference import check_repository, hasher, parse_digest
from sync.oci.response import CHUNK_SIZE, Response
from sync.oci.session import Session, pull
from sync.oci.transport import ATTEMPTS

if TYPE_CHECKING:
    from hashlib import _Hash

Block = bytes | memoryview

MARK_EVERY = 16 * 1024 * 1024


class BlobReading(Session):
    """Reading blobs."""

    def read_blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, in blocks of 1 MiB; a broken read goes on with Range (P-36).

        The last block is handed out only after size and, for offset 0, digest are proven: whoever passes the blocks
        on never completes wrong content. Raises DigestMismatch.
        """
        for block in BlobReader(self, repository, descriptor, offset)(offset):
            yield bytes(block)

    def blob_reader(self, repository: str, descriptor: Descriptor) -> BlobReader:
        """For a blob that may have to be read again from somewhere in its middle: what an upload wants."""
        return BlobReader(self, repository, descriptor)

    def _resumed(
        self, path: str, repository: str, offset: int, size: int, buffer: memoryview
    ) -> Generator[memoryview, None, None]:
        """The blob from `offset` on, reopened where it broke, until ATTEMPTS readings in a row brought nothing."""
        position, fruitless = offset, 0
        while True:
            before = position
            with closing(self._open_blob(repository, path, position, buffer)) as blocks:
                problem: OciError = DigestMismatch(f"the blob is shorter than the {size} bytes its manifest tells")
                try:
                    for block in blocks:
                        position += len(block)
                        yield block
                except Unreachable as broken:
                    problem = broken
            if position >= size:
                return
            self._transport.check_cancelled()
            fruitless = 0 if position > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise problem
            self._transport.pause(fruitless + 1)

    def _open_blob(
        self, repository: str, path: str, position: int, buffer: memoryview
    ) -> Generator[memoryview, None, None]:
        """The blocks from `position` on, whatever the registry makes of a Range (P-36)."""
        scopes = (pull(repository),)
        if position:
            ranged = self._request(
                "GET", path, scopes, {"Range": f"bytes={position}-"}, ok=(200, 206, 416), stream=True
            )
            if ranged.status == 206 and _range_start(ranged) == position:
                return _blocks(ranged, 0, buffer)
            if ranged.status == 200:
                return _blocks(ranged, position, buffer)
            ranged.close()
        return _blocks(self._request("GET", path, scopes, stream=True), position, buffer)


class BlobReader:
    """A blob to be read from anywhere, again and again; whoever gets its end knows that all of it is right.

    Called with an offset it gives the bytes from there on, through one buffer of at most 1 MiB: a block is good until
    the next one is asked for, the last one for longer. That one is handed out only after size and digest of the whole
    blob are proven. To go on from the middle it does not begin at the start: it remembers the digest so far, every
    16 MiB. Not for several threads. Raises DigestMismatch.
    """

    def __init__(self, api: BlobReading, repository: str, descriptor: Descriptor, start: int = 0) -> None:
        """start: nothing before it is ever read, and without that the digest cannot be proven."""
        self._api = api
        self._repository = check_repository(repository)
        self._descriptor = descriptor
        self._start = start
        self._path = f"/v2/{repository}/blobs/{parse_digest(descriptor.digest)}"
        self._buffer = memoryview(bytearray(min(CHUNK_SIZE, max(1, descriptor.size))))
        self._forget()

    def __call__(self, offset: int) -> Iterator[memoryview]:
        position, hashing = self._mark_before(offset)
        size = self._descriptor.size
        with self._api._doing(f"read blob {self._repository}@{self._descriptor.digest}"):
            with closing(self._api._resumed(self._path, self._repository, position, size, self._buffer)) as blocks:
                for block in blocks:
                    self._api.check_cancelled()
                    position += len(block)
                    hashing.update(block)
                    self._mark(position, hashing)
                    if position >= size:
                        self._prove(position, hashing, blocks)
                    fresh = block[max(0, len(block) - (position - offset)) :]
                    if fresh:
                        yield fresh
            if not size:
                self._prove(0, hashing, blocks)

    def _mark_before(self, offset: int) -> tuple[int, _Hash]:
        position, hashing = next(mark for mark in reversed(self._marks) if mark[0] <= offset)
        return position, hashing.copy()

    def _mark(self, position: int, hashing: _Hash) -> None:
        if position - self._marks[-1][0] >= MARK_EVERY:
            self._marks.append((position, hashing.copy()))

    def _forget(self) -> None:
        self._marks: list[tuple[int, _Hash]] = [(self._start, hasher(self._descriptor.digest))]

    def _prove(self, position: int, hashing: _Hash, rest: Iterator[memoryview]) -> None:
        size = self._descriptor.size
        if position > size or next(rest, None) is not None:
            self._forget()
            raise DigestMismatch(f"the blob is longer than the {size} bytes its manifest tells")
        found = f"{hashing.name}:{hashing.hexdigest()}"
        if not self._start and found != self._descriptor.digest:
            self._forget()
            raise DigestMismatch(f"the blob has the digest {found}")


def _range_start(response: Response) -> int | None:
    told = re.match(r"bytes (\d+)-", response.header("Content-Range"))
    return int(told[1]) if told else None


def _blocks(response: Response, skip: int, buffer: memoryview) -> Generator[memoryview, None, None]:
    """The body without its first `skip` bytes; closes the response."""
    try:
        for block in _filled(response, buffer):
            kept, skip = block[skip:], max(0, skip - len(block))
            if kept:
                yield kept
    finally:
        response.close()


def _filled(response: Response, buffer: memoryview) -> Iterator[memoryview]:
    """The body, a buffer full at a time; what came before it broke is handed out, too."""
    filled, ended = 0, False
    while not ended:
        try:
            count = response.readinto(buffer[filled:])
        except OciError:
            if filled:
                yield buffer[:filled]
            raise
        filled, ended = filled + count, not count
        if filled and (ended or filled == len(buffer)):
            yield buffer[:filled]
            filled = 0
