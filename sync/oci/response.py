"""Answers of a registry, and what a broken connection means."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sync.oci.connection import unreachable
from sync.oci.errors import OciError, ProtocolViolation, ResponseTooLarge, error_for
from sync.oci.guest import PACED_BLOCK
from sync.oci.http1 import Body, Headers, Wire
from sync.oci.pool import Pool

CHUNK_SIZE = 1024 * 1024
READ_AT_ONCE = 64 * 1024
BODY_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024


class Response:
    """One HTTP answer. `body` is filled by load(); a streamed one is read by chunks() or readinto(), and closed.

    `pace` is told of all bytes that came and holds up whoever reads them too fast; None where nothing is limited.
    """

    def __init__(
        self,
        status: int,
        headers: Headers,
        url: str,
        body: Body,
        wire: Wire,
        pool: Pool,
        *,
        reusable: bool,
        pace: Callable[[int], None] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self.body = b""
        self._rest = body
        self._wire: Wire | None = wire
        self._pool = pool
        self._reusable = reusable
        self._pace = pace
        if body.ended:
            self.close()

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def load(self, limit: int = BODY_LIMIT) -> None:
        """Read the body, up to `limit` bytes; of a failure at most 64 KiB. Raises ResponseTooLarge, Unreachable."""
        if self._wire is None:
            return
        allowed = limit if self.is_success else min(limit, ERROR_BODY_LIMIT)
        received = bytearray()
        while len(received) <= allowed and (block := self._read(min(READ_AT_ONCE, allowed + 1 - len(received)))):
            received += block
        self.close()
        self.body = _decoded(bytes(received), self.header("Content-Encoding"), allowed + 1)
        if len(self.body) > allowed or len(received) > allowed:
            self.body = self.body[:allowed]
            if self.is_success:
                raise ResponseTooLarge(f"the answer is longer than {limit} bytes")

    def _read(self, size: int) -> bytes:
        block = bytearray(size)
        return bytes(memoryview(block)[: self.readinto(memoryview(block))])

    def readinto(self, view: memoryview) -> int:
        """Some more bytes of the body, as sent; 0 at its end. Raises Unreachable when the connection breaks."""
        if self._pace is not None:
            view = view[:PACED_BLOCK]
        with broken_connections():
            try:
                count = self._rest.read_into(view)
            except OSError:
                self.close()
                raise
        if not count or self._rest.ended:
            self.close()
        if self._pace is not None and count:
            try:
                self._pace(count)
            except OciError:
                self.close()
                raise
        return count

    def chunks(self, size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """The body in blocks of `size` bytes, the last one shorter, as sent. Raises Unreachable: see readinto."""
        ended = False
        while not ended:
            block, filled = bytearray(size), 0
            view = memoryview(block)
            try:
                while filled < size and not ended:
                    count = self.readinto(view[filled:])
                    filled += count
                    ended = not count
            except OciError:
                if filled:
                    yield bytes(view[:filled])  # what came is not lost: it need not be asked for again
                raise
            if filled:
                yield bytes(view[:filled])

    def json(self) -> Any:
        """The loaded body as JSON; raises ProtocolViolation when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as problem:
            raise ProtocolViolation("the registry's answer is not JSON") from problem

    def header(self, name: str) -> str:
        return self.headers.get(name)

    def header_values(self, name: str) -> list[str]:
        """Several headers of one name come as one, joined by commas."""
        value = self.headers.get(name)
        return [value] if value else []

    def error(self, *, quote: bool = True, secrets: Collection[str] = ()) -> OciError:
        """The error that this answer stands for; see error_for."""
        return error_for(self.status, self.headers, self.body, quote=quote, secrets=secrets)

    def close(self) -> None:
        """Give the connection back or, if the body was not read to its end, up."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self._rest.ended and self._reusable:
            self._pool.give_back(wire)
        else:
            self._pool.drop(wire)


def _decoded(body: bytes, coding: str, limit: int) -> bytes:
    """Some registries compress though they were asked not to; at most `limit` bytes of what they meant."""
    coding = coding.lower()
    if not body or coding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, limit)
    except zlib.error as problem:
        raise ProtocolViolation("the registry's answer is not compressed as it says") from problem


@contextmanager
def broken_connections() -> Iterator[None]:
    """Turn what sockets raise into Unreachable; no URL gets into its text (P-25)."""
    try:
        yield
    except OSError as problem:
        raise unreachable(problem) from problem
