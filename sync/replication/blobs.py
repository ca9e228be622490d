"""Bringing blobs into repositories of the target, each moved once."""

from collections.abc import Iterator

from sync.oci.client import Client, Upload
from sync.oci.errors import OciError
from sync.oci.manifest import Descriptor
from sync.replication.journey import Journey
from sync.replication.single import SingleFlight


class Hints(dict[str, str]):
    """A repository of the target for each digest that it was seen to keep.

    Forgets everything when it grows beyond some megabytes: a missing hint costs an upload, a wrong one a request.
    """

    LIMIT = 100_000

    def __setitem__(self, digest: str, repository: str) -> None:
        if len(self) >= self.LIMIT:
            self.clear()
        super().__setitem__(digest, repository)


class Blobs:
    """Brings each digest to the target once, helped by hints that may come from earlier runs.

    The first to need a digest mounts or uploads it; others that come meanwhile wait, then mount from there. No two
    threads write the same digest into the same repository: registries answer wrongly while two do.
    """

    def __init__(self, source: Client, target: Client, kept_in: Hints, *, same_instance: bool) -> None:
        self._source = source
        self._target = target
        self._same_instance = same_instance
        self._kept_in = kept_in
        self._in_registry = SingleFlight()
        self._in_repository = SingleFlight()

    def ensure(self, blob: Descriptor, journey: Journey) -> None:
        """Returns when the target repository holds the blob. Raises OciError."""
        self._in_repository.do((journey.target_repository, blob.digest), lambda: self._bring(blob, journey))

    def _bring(self, blob: Descriptor, journey: Journey) -> None:
        """The first in the registry brings it; whoever comes after that mounts it into a repository of its own."""
        if not self._in_registry.do(blob.digest, lambda: self._mount_or_upload(blob, journey)):
            self._mount_or_upload(blob, journey)

    def _mount_or_upload(self, blob: Descriptor, journey: Journey) -> None:
        """Where nothing is known to mount from, the target repository itself is named: it tells whether it has it."""
        known = journey.source_repository if self._same_instance else self._kept_in.get(blob.digest)
        upload = self._target.mount(journey.target_repository, blob.digest, known or journey.target_repository)
        if upload is not None:
            self._upload(blob, journey, upload)
        self._kept_in[blob.digest] = journey.target_repository

    def _upload(self, blob: Descriptor, journey: Journey, upload: Upload) -> None:
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
