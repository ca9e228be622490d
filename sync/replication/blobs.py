"""Bringing blobs into repositories of the target, each moved once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from sync.oci.client import Client
from sync.oci.errors import OciError
from sync.oci.manifest import Descriptor


class Blobs:
    """Knows where the target keeps a digest, as far as this run has seen it.

    The first to need a digest mounts or uploads it; others that come meanwhile wait, then mount from there. When the
    first one fails, the next one tries itself.
    """

    def __init__(self, source: Client, target: Client, *, same_instance: bool) -> None:
        self._source = source
        self._target = target
        self._same_instance = same_instance
        self._lock = threading.Lock()
        self._kept_in: dict[str, set[str]] = {}
        self._in_flight: dict[str, Future[None]] = {}

    def ensure(
        self, blob: Descriptor, source_repository: str, target_repository: str, moved: Callable[[int], None]
    ) -> None:
        """Returns when the target repository holds the blob; tells `moved` how many bytes went. Raises OciError."""
        while True:
            with self._lock:
                kept_in = self._kept_in.get(blob.digest, set())
                if target_repository in kept_in:
                    return
                waiting_for = None if kept_in else self._in_flight.get(blob.digest)
                if waiting_for is None:
                    mine = self._in_flight.setdefault(blob.digest, Future()) if not kept_in else None
                    break
            waiting_for.exception()
        mount_from = min(kept_in) if kept_in else source_repository if self._same_instance else target_repository
        try:
            self._bring(blob, source_repository, target_repository, mount_from, moved)
            with self._lock:
                self._kept_in.setdefault(blob.digest, set()).add(target_repository)
        finally:
            if mine is not None:
                with self._lock:
                    del self._in_flight[blob.digest]
                mine.set_result(None)

    def _bring(
        self,
        blob: Descriptor,
        source_repository: str,
        target_repository: str,
        mount_from: str,
        moved: Callable[[int], None],
    ) -> None:
        upload = self._target.mount(target_repository, blob.digest, mount_from)
        if upload is None:
            return
        try:
            self._target.upload(target_repository, blob, self._read(blob, source_repository, moved), upload)
        except OciError as error:
            if not error.retryable:
                raise
            # A streamed body cannot be repeated by the transport: read the source once more, into a new session.
            self._target.upload(target_repository, blob, self._read(blob, source_repository, moved), None)

    def _read(self, blob: Descriptor, repository: str, moved: Callable[[int], None]) -> Iterator[bytes]:
        for chunk in self._source.read_blob(repository, blob):
            yield chunk
            moved(len(chunk))
