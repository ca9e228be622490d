"""Blobs of a registry (OCI distribution 1.1, "Pulling Blobs", "Pushing Blobs", "Mounting a Blob")."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import quote

from sync.oci.errors import (
    DigestMismatch,
    NotFound,
    OciError,
    ProtocolViolation,
    RegistryAnswer,
    Unreachable,
)
from sync.oci.manifest import Descriptor
from sync.oci.reference import check_repository, hasher, parse_digest
from sync.oci.response import CHUNK_SIZE, Response
from sync.oci.session import Session, pull, push
from sync.oci.transport import ATTEMPTS, Body, resolve

MOUNT_REFUSED = frozenset({400, 401, 403, 404, 405})
BUFFERED_UPLOAD = 1024 * 1024
WHOLE_UPLOAD = 64 * 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """An open upload session. Its location may carry a signature: it is shown nowhere."""

    location: str = field(repr=False)


class _Stream:
    """Blocks to send that end in good order when no more can be had; check() raises the reason."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._problem: OciError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._blocks
        except OciError as problem:
            self._problem = problem

    def check(self) -> None:
        if self._problem:
            raise self._problem


class BlobApi(Session):
    """Reading, mounting and uploading blobs."""

    def read_blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, in blocks of 1 MiB; a broken read goes on with Range (P-36).

        The last block is handed out only after size and, for offset 0, digest are proven: whoever passes the blocks
        on never completes wrong content. Raises DigestMismatch.
        """
        path = f"/v2/{check_repository(repository)}/blobs/{parse_digest(descriptor.digest)}"
        hashing, position, held = hasher(descriptor.digest), offset, b""
        with self._doing(f"read blob {repository}@{descriptor.digest}"):
            for chunk in self._resumed(repository, path, offset, descriptor.size):
                self._transport.check_cancelled()
                position += len(chunk)
                if position > descriptor.size:
                    raise DigestMismatch(f"the blob is longer than the {descriptor.size} bytes its manifest tells")
                hashing.update(chunk)
                if held:
                    yield held
                held = chunk
            found = f"{hashing.name}:{hashing.hexdigest()}"
            if offset == 0 and found != descriptor.digest:
                raise DigestMismatch(f"the blob has the digest {found}")
            if held:
                yield held

    def _resumed(self, repository: str, path: str, offset: int, size: int) -> Iterator[bytes]:
        """The blob from `offset` on, reopened where it broke, until ATTEMPTS readings in a row brought nothing."""
        position, fruitless = offset, 0
        while True:
            before = position
            with closing(self._open_blob(repository, path, position)) as blocks:
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

    def _open_blob(self, repository: str, path: str, position: int) -> Generator[bytes, None, None]:
        """The blocks from `position` on, whatever the registry makes of a Range (P-36)."""
        scopes = (pull(repository),)
        if position:
            ranged = self._request(
                "GET", path, scopes, {"Range": f"bytes={position}-"}, ok=(200, 206, 416), stream=True
            )
            if ranged.status == 206 and _range_start(ranged) == position:
                return _blocks(ranged, 0)
            if ranged.status == 200:
                return _blocks(ranged, position)
            ranged.close()
        return _blocks(self._request("GET", path, scopes, stream=True), position)

    def mount(self, repository: str, digest: str, from_repository: str) -> Upload | None:
        """Ask for a blob that the registry has in another repository: None when it is there now (201).

        Else the upload session to send it with: the one offered in place of the mount (202, P-13) or, where mounting
        is refused, a plain one (P-14).
        """
        query = f"mount={quote(parse_digest(digest), safe='')}"
        query += f"&from={quote(check_repository(from_repository), safe='')}" if from_repository else ""
        scopes = [push(repository), *([pull(from_repository)] if from_repository else [])]
        with self._doing(f"mount blob {repository}@{digest}"):
            try:
                response = self._request("POST", f"{_uploads(repository)}?{query}", scopes, body=b"", ok=(201, 202))
            except RegistryAnswer as problem:
                if problem.status not in MOUNT_REFUSED:
                    raise
                return self.start_upload(repository)
            return None if response.status == 201 else self._opened(response)

    def start_upload(self, repository: str) -> Upload:
        """Open an upload session."""
        with self._doing(f"start an upload to {repository}"):
            response = self._request("POST", _uploads(repository), (push(repository),), body=b"", ok=(202,))
            return self._opened(response)

    def _opened(self, response: Response) -> Upload:
        """The session that an answer 202 opens; another host may be named, but gets no credentials (P-02)."""
        location = response.header("Location")
        if not location:
            raise ProtocolViolation("the registry opens an upload without telling its Location")
        url = resolve(response.url, location)
        self._transport.check_hop(url)
        return Upload(url)

    def upload(
        self, repository: str, descriptor: Descriptor, chunks: Iterable[bytes], upload: Upload | None = None
    ) -> None:
        """Send a blob into `upload` or a new session; a failed session is given up (P-06).

        In one PUT (P-01), or beyond 64 MiB in a PATCH and an empty PUT, as `docker push` does: the body of that PATCH
        may end early and in good order, and then every registry lets go of the session. One whose PUT was cut off
        can be neither ended nor resumed in CNCF distribution, which keeps its bytes for a week.
        The size is checked here, the digest by the registry. Blobs up to 1 MiB are repeated inside; the error of a
        longer one is `retryable` when sending it all again, in a new session, can help.
        """
        session = upload or self.start_upload(repository)
        exact = self._exactly(descriptor, chunks)
        with self._doing(f"upload blob {repository}@{descriptor.digest}"):
            try:
                if descriptor.size > WHOLE_UPLOAD:
                    stream = _Stream(exact)
                    session = self._send_stream(repository, stream, session)
                    stream.check()
                    self._complete(repository, descriptor, b"", session)
                else:
                    body = b"".join(exact) if descriptor.size <= BUFFERED_UPLOAD else exact
                    self._complete(repository, descriptor, body, session)
            except BaseException:
                self.abandon(repository, session)
                raise

    def _send_stream(self, repository: str, stream: _Stream, session: Upload) -> Upload:
        """PATCH without a length told in advance; returns the session with its new location (P-03)."""
        return self._opened(self._send(repository, "PATCH", session.location, {}, stream, ok=(201, 202, 204)))

    def _complete(self, repository: str, descriptor: Descriptor, body: Body, session: Upload) -> None:
        """The PUT that makes the session a blob, with all or the rest of its bytes."""
        length = len(body) if isinstance(body, bytes) else descriptor.size
        separator = "&" if "?" in session.location else "?"
        target = f"{session.location}{separator}digest={quote(descriptor.digest, safe='')}"
        response = self._send(repository, "PUT", target, {"Content-Length": str(length)}, body, ok=(201, 204))
        told = response.header("Docker-Content-Digest")
        if told and told != descriptor.digest:
            raise DigestMismatch(f"the registry stored it under the digest {told[:140]!r}")

    def _send(
        self, repository: str, method: str, target: str, headers: dict[str, str], body: Body, *, ok: Sequence[int]
    ) -> Response:
        sent = {"Content-Type": "application/octet-stream", **headers}
        try:
            return self._request(method, target, (push(repository),), sent, body, ok=ok)
        except NotFound as problem:
            if not problem.operation:  # else it is the source's, which `body` reads
                problem.retryable = True
                problem.hint = "The registry has forgotten the upload; it is begun again."
            raise

    def _exactly(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The blocks, the last of them only when their sum is the descriptor's size."""
        total, held = 0, b""
        for chunk in filter(None, chunks):
            self._transport.check_cancelled()
            total += len(chunk)
            if total > descriptor.size:
                break
            if held:
                yield held
            held = chunk
        if total != descriptor.size:
            raise DigestMismatch(f"there are {total} bytes to send, the descriptor tells {descriptor.size}")
        if held:
            yield held

    def abandon(self, repository: str, session: Upload) -> None:
        """Give an upload session up (P-06). Its failure is ignored."""
        try:
            self._clean_up(session.location, (push(repository),))
        except OciError:
            return  # the registry clears forgotten sessions by itself; the first failure is the one to tell


def _uploads(repository: str) -> str:
    return f"/v2/{check_repository(repository)}/blobs/uploads/"


def _range_start(response: Response) -> int | None:
    told = re.match(r"bytes (\d+)-", response.header("Content-Range"))
    return int(told[1]) if told else None


def _blocks(response: Response, skip: int) -> Generator[bytes, None, None]:
    """The body without its first `skip` bytes; closes the response."""
    try:
        for block in response.chunks(CHUNK_SIZE):
            kept, skip = block[skip:], max(0, skip - len(block))
            if kept:
                yield kept
    finally:
        response.close()
