"""Bringing blobs into repositories of the target, each moved once."""

from collections.abc import Iterator

from sync.oci.client import Client
from sync.oci.errors import OciError
from sync.oci.manifest import Descriptor
from sync.replication.journey import Journey
from sync.replication.single import SingleFlight


class Blobs:
    """Knows where the target keeps a digest, as far as this run has seen it.

    The first to need a digest mounts or uploads it; others that come meanwhile wait, then mount from there. No two
    threads write the same digest into the same repository: registries answer wrongly while two do.
    """

    def __init__(self, source: Client, target: Client, *, same_instance: bool) -> None:
        self._source = source
        self._target = target
        self._same_instance = same_instance
        self._kept_in: dict[str, str] = {}
        self._in_registry = SingleFlight()
        self._in_repository = SingleFlight()

    def ensure(self, blob: Descriptor, journey: Journey) -> None:
        """Returns when the target repository holds the blob. Raises OciError."""
        self._in_repository.do((journey.target_repository, blob.digest), lambda: self._bring(blob, journey))

    def _bring(self, blob: Descriptor, journey: Journey) -> None:
        self._in_registry.do(blob.digest, lambda: self._bring_first(blob, journey))
        kept_in = self._kept_in[blob.digest]
        if kept_in != journey.target_repository:
            self._mount_or_upload(blob, journey, kept_in)

    def _bring_first(self, blob: Descriptor, journey: Journey) -> None:
        """Where nothing is known to mount from, the target repository itself is named: it tells whether it has it."""
        here = journey.source_repository if self._same_instance else journey.target_repository
        self._mount_or_upload(blob, journey, here)
        self._kept_in[blob.digest] = journey.target_repository

    def _mount_or_upload(self, blob: Descriptor, journey: Journey, mount_from: str) -> None:
        upload = self._target.mount(journey.target_repository, blob.digest, mount_from)
        if upload is None:
            return
        try:
            self._target.upload(journey.target_repository, blob, self._read(blob, journey), upload)
        except OciError as error:
            if not error.retryable:
                raise
            # A streamed body cannot be repeated by the transport: read the source once more, into a new session.
            self._target.upload(journey.target_repository, blob, self._read(blob, journey), None)

    def _read(self, blob: Descriptor, journey: Journey) -> Iterator[bytes]:
        for chunk in self._source.read_blob(journey.source_repository, blob):
            yield chunk
            journey.moved(len(chunk))
