"""Bringing blobs into repositories of the target, each moved once."""

from collections.abc import Iterator, Sequence
from functools import partial

from sync.oci.blob_reading import Block
from sync.oci.client import Client, Upload
from sync.oci.manifest import Descriptor
from sync.replication.graph import Graph, Once, by_size
from sync.replication.journey import Journey
from sync.replication.whereabouts import Whereabouts


class Blobs:
    """Brings each digest to the target once, helped by what is known from earlier runs and other workers.

    The first to need a digest mounts or uploads it; others that come meanwhile wait, then mount from there. No two
    write the same digest into the same repository at once: registries answer wrongly while two do.
    """

    def __init__(
        self, graph: Graph, source: Client, target: Client, whereabouts: Whereabouts, *, same_instance: bool
    ) -> None:
        self._graph = graph
        self._source = source
        self._target = target
        self._whereabouts = whereabouts
        self._same_instance = same_instance
        self._in_registry = Once(graph)
        self._in_repository = Once(graph)
        # On which journey a digest is or will be sent, as far as is known; None when the target has it.
        self._expected: dict[str, Journey | None] = {}

    async def ensure(self, blobs: Sequence[Descriptor], journey: Journey) -> None:
        """Returns when the target repository holds them all. Raises OciError."""
        if not self._target.keeps_parts:
            await self._graph.all((by_size(one.size), self._bring_anew(one, journey)) for one in blobs)
            return
        missing = [one for one in blobs if not self._in_repository.is_done((journey.target_repository, one.digest))]
        if not self._same_instance:
            self._whereabouts.look_up(one.digest for one in missing)
        for one in missing:
            if one.digest not in self._expected:
                self._expect(one, journey)
        await self._graph.all((by_size(one.size), self._ensure(one, journey)) for one in missing)

    async def _bring_anew(self, blob: Descriptor, journey: Journey) -> None:
        """What came for another tag is of no use to this one."""
        journey.expect(blob.size)
        self._upload(blob, journey)

    async def _ensure(self, blob: Descriptor, journey: Journey) -> None:
        key = (journey.target_repository, blob.digest)
        await self._in_repository.do(key, partial(self._bring, blob, journey))

    async def _bring(self, blob: Descriptor, journey: Journey) -> None:
        """The first in the registry brings it; whoever comes after that mounts it into a repository of its own."""
        if not await self._in_registry.do(blob.digest, partial(self._bring_first, blob, journey)):
            self._mount_or_upload(blob, journey)

    async def _bring_first(self, blob: Descriptor, journey: Journey) -> None:
        await self._graph.until(partial(self._claim, blob.digest), self._target.check_cancelled)
        try:
            self._mount_or_upload(blob, journey)
        except BaseException:
            self._whereabouts.give_up(blob.digest)
            raise

    def _claim(self, digest: str) -> bool:
        """Whether it is our turn; mounting needs none."""
        known = self._same_instance or self._whereabouts.kept_in(digest)
        return bool(known) or self._whereabouts.claim(digest)

    def _mount_or_upload(self, blob: Descriptor, journey: Journey) -> None:
        """Where nothing is known to mount from, the target repository itself is named: it tells whether it has it."""
        known = journey.source_repository if self._same_instance else self._whereabouts.kept_in(blob.digest)
        upload = self._target.mount(journey.target_repository, blob.digest, known or journey.target_repository)
        self._expect(blob, None if upload is None else journey)
        if upload is not None:
            if not self._same_instance:
                self._whereabouts.forget(blob.digest)
            self._upload(blob, journey, upload)
        self._whereabouts.keeps(blob.digest, journey.target_repository)
        self._expected[blob.digest] = None

    def _expect(self, blob: Descriptor, journey: Journey | None) -> None:
        """The blob goes on this journey, and on no other."""
        before = self._expected.get(blob.digest)
        self._expected[blob.digest] = journey
        if before is not journey:
            if before is not None:
                before.expect(-blob.size)
            if journey is not None:
                journey.expect(blob.size)

    def _upload(self, blob: Descriptor, journey: Journey, upload: Upload | None = None) -> None:
        reader = self._source.blob_reader(journey.source_repository, blob)

        def content(offset: int) -> Iterator[Block]:
            for block in reader(offset):
                yield block
                journey.moved(len(block))

        self._target.upload(journey.target_repository, blob, content, upload)
