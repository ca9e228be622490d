"""What is known of a blob on its way into an upload session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from sync.oci.blob_reading import Block
from sync.oci.errors import DigestMismatch, OciError
from sync.oci.manifest import Descriptor

Content = Callable[[int], Iterator[Block]]
"""Gives the bytes of a blob from an offset on. A block is good until the next one is asked for, the last for longer."""

MEBIBYTE = 1024 * 1024
BUFFERED_UPLOAD = MEBIBYTE
WHOLE_UPLOAD = 64 * MEBIBYTE
STEP = 8 * MEBIBYTE


@dataclass(frozen=True)
class Upload:
    """An open upload session. Its location may carry a signature: it is shown nowhere. `least_step` in bytes."""

    location: str = field(repr=False)
    least_step: int = 0


class Feed:
    """The bytes to send, from an offset on; the last of them only when their number is that of the descriptor."""

    def __init__(
        self, descriptor: Descriptor, blocks: Iterable[Block], offset: int, check_cancelled: Callable[[], None]
    ) -> None:
        self.problem: OciError | None = None
        self._check_cancelled = check_cancelled
        self._blocks = _exactly(descriptor, blocks, offset)
        self._left: Block = b""

    def take(self, length: int, *, orderly: bool = False) -> Iterator[Block]:
        """At most so many bytes. What goes wrong in getting them becomes `problem`; raised too, unless `orderly`."""
        try:
            while length > 0 and (block := self._left or next(self._blocks, b"")):
                self._check_cancelled()
                part, self._left = block[:length], block[length:]
                length -= len(part)
                yield part
        except OciError as problem:
            self.problem = problem
            if not orderly:
                raise

    def check(self) -> None:
        if self.problem:
            raise self.problem

    def close(self) -> None:
        """Lets go of the connection on which they come."""
        self._blocks.close()


def _exactly(descriptor: Descriptor, blocks: Iterable[Block], offset: int) -> Generator[Block, None, None]:
    total = offset
    last: Block = b""
    for block in blocks:
        total += len(block)
        if total > descriptor.size:
            break
        if total == descriptor.size and block:
            last = block
        elif block:
            yield block
    if total != descriptor.size:
        raise DigestMismatch(f"there are {total} bytes to send, the descriptor tells {descriptor.size}")
    if last:
        yield last


@dataclass
class Sending:
    """One blob on its way.

    offset: so many bytes the session holds; furthest: the most that one held. step: bytes per PATCH; None sends all of
    it in one request. tries: how often it went wrong in a row without getting further. repeated: the transport has
    repeated the last request by itself. doubted: the digest was wrong once.
    """

    repository: str
    descriptor: Descriptor
    content: Iterable[Block] | Content
    session: Upload
    offset: int = 0
    furthest: int = 0
    step: int | None = None
    tries: int = 0
    repeated: bool = False
    doubted: bool = False

    @property
    def in_one_put(self) -> bool:
        return self.step is None and self.descriptor.size <= WHOLE_UPLOAD

    @property
    def buffered(self) -> bool:
        return self.descriptor.size <= BUFFERED_UPLOAD

    def feed(self, check_cancelled: Callable[[], None]) -> Feed:
        blocks = self.content(self.offset) if callable(self.content) else self.content
        return Feed(self.descriptor, blocks, self.offset, check_cancelled)

    def got_to(self, offset: int) -> None:
        if offset > self.furthest:
            self.furthest, self.tries = offset, 0
        self.offset = offset

    def divide(self, *, further: bool) -> bool:
        """From now on in PATCHes, or in smaller ones if `further`; False when nothing smaller is left."""
        least = max(MEBIBYTE, self.session.least_step)
        if self.step is None:
            self.step = max(STEP, least)
            return True
        before, self.step = self.step, max(least, self.step // 2)
        return further and self.step < before
