"""Signatures, SBOMs and attestations: what refers to a manifest travels with it (OCI distribution 1.1, "Referrers").

They are found by the Referrers API or, without it, under the fallback tag; cosign's older digest tags come along too.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from sync.oci.client import Client
from sync.oci.errors import Denied, ManifestTooLarge, NotFound, Unauthorized
from sync.oci.manifest import Descriptor, Manifest, merge_index
from sync.oci.reference import digest_tags
from sync.replication.consent import Answer, Consent, Question
from sync.replication.graph import Gates, Graph
from sync.replication.journey import Journey
from sync.replication.whereabouts import Whereabouts

MAX_DEPTH = 8


@dataclass(frozen=True)
class Found:
    """What refers to one digest. `index` is the source's fallback tag, where it has no Referrers API."""

    subject: str
    entries: tuple[Descriptor, ...]
    index: Manifest | None
    cosign_tags: tuple[str, ...]
    by_api: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries or self.cosign_tags)


class Referrers:
    """`bring(journey, reference, manifest)` brings one manifest with its parts and writes it under tag or digest."""

    def __init__(
        self,
        graph: Graph,
        source: Client,
        target: Client,
        whereabouts: Whereabouts,
        *,
        overwrite: bool,
        bring: Callable[[Journey, str, Manifest], Awaitable[None]],
        consent: Consent | None = None,
    ) -> None:
        self._graph = graph
        self._consent = consent
        self._whereabouts = whereabouts
        self._source = source
        self._target = target
        self._overwrite = overwrite
        self._bring = bring
        # Two signatures of one image may come at once, here or by two workers; both must be in the index afterwards.
        self._turns = Gates(graph)

    def find(self, journey: Journey, digest: str) -> Found:
        fallback_tag, *cosign = digest_tags(digest)
        listed = self._source.referrers(journey.source_repository, digest)
        index = None
        if listed is None and fallback_tag in journey.digest_tags:
            index = self._source.get_manifest(journey.source_repository, fallback_tag)
        entries = listed if listed is not None else index.children if index else ()
        tags = tuple(tag for tag in cosign if tag in journey.digest_tags)
        return Found(digest, tuple(entries), index, tags, by_api=listed is not None)

    async def bring(self, journey: Journey, found: Found, depth: int = 0) -> None:
        """Brings what the target lacks of `found`, and what refers to those in turn. Raises OciError."""
        if depth > MAX_DEPTH:
            raise ManifestTooLarge(f"referrers refer to each other more than {MAX_DEPTH} deep", side="source")
        for entry in found.entries:
            await self._bring_entry(journey, entry, depth)
        if found.entries and self._target.referrers(journey.target_repository, found.subject) is None:
            await self._write_fallback_index(journey, found)
        for tag in found.cosign_tags:
            await self._bring_tag(journey, tag, depth)

    async def _bring_entry(self, journey: Journey, entry: Descriptor, depth: int) -> None:
        if entry.digest in journey.referrers_seen:
            return
        journey.referrers_seen.add(entry.digest)
        if self._there(journey, entry.digest) is None:
            manifest = self._source.get_manifest(journey.source_repository, entry.digest)
            await self._bring(journey, entry.digest, manifest)
        nested = self.find(journey, entry.digest)
        if nested:
            await self.bring(journey, nested, depth + 1)

    async def _write_fallback_index(self, journey: Journey, found: Found) -> None:
        """OCI distribution 1.1, "Pushing Manifests with Subject": without the API the pusher keeps the index."""
        tag = digest_tags(found.subject)[0]
        key = f"{journey.target_repository}:{tag}"
        async with self._turns[key]:
            await self._graph.until(partial(self._whereabouts.claim, key), self._target.check_cancelled)
            try:
                self._merge_fallback_index(journey, found, tag)
            finally:
                self._whereabouts.give_up(key)

    def _merge_fallback_index(self, journey: Journey, found: Found, tag: str) -> None:
        present = self._fallback_index_there(journey, tag)
        if present is None and found.index is not None:
            wanted = found.index
        else:
            wanted = merge_index(present, self._index_entries(journey, found))
        if present is None or wanted.digest != present.digest:
            self._target.put_manifest(journey.target_repository, tag, wanted, check=journey.check_lease)
            journey.wrote()

    def _fallback_index_there(self, journey: Journey, tag: str) -> Manifest | None:
        try:
            return self._target.get_manifest(journey.target_repository, tag)
        except NotFound:
            return None

    def _index_entries(self, journey: Journey, found: Found) -> list[dict[str, object]]:
        if found.index is not None:
            return list(found.index.document["manifests"])
        manifests = (self._source.get_manifest(journey.source_repository, entry.digest) for entry in found.entries)
        return [manifest.referrer_entry() for manifest in manifests]

    def _there(self, journey: Journey, reference: str) -> Descriptor | None:
        """What the target has; nothing, where it does not let us look: writing decides."""
        try:
            return self._target.head_manifest(journey.target_repository, reference)
        except (Unauthorized, Denied):
            return None

    async def _bring_tag(self, journey: Journey, tag: str, depth: int) -> None:
        if tag in journey.referrers_seen:
            return
        journey.referrers_seen.add(tag)
        there = self._there(journey, tag)
        digest = there.digest if there else ""
        if there is None or self._overwrite:
            manifest = self._source.get_manifest(journey.source_repository, tag)
            if digest != manifest.digest and await self._may_write(journey, tag, manifest, there):
                await self._bring(journey, tag, manifest)
                digest = manifest.digest
        if digest and (nested := self.find(journey, digest)):
            await self.bring(journey, nested, depth + 1)

    async def _may_write(self, journey: Journey, tag: str, manifest: Manifest, there: Descriptor | None) -> bool:
        """A newer signature stays, like any other newer push."""
        if self._consent is None:
            return True
        names = journey.source_repository, journey.target_repository
        # Both sides were looked at just now.
        question = Question(*names, tag, manifest.digest, there.digest if there else "", looked=True)
        return await self._consent.take(question, journey.lease) is Answer.GRANTED
