"""Copying one artifact graph, children first, byte for byte; the tag is written last.

Order: blobs, child manifests, the manifest itself, what refers to it (signatures, SBOMs, attestations), the tag.
"""

from collections.abc import Iterator
from functools import partial
from time import monotonic

from sync.oci.client import Client
from sync.oci.errors import Denied, InvalidManifest, ManifestTooLarge, NotFound, Unauthorized
from sync.oci.manifest import Descriptor, Manifest
from sync.replication.blobs import Blobs
from sync.replication.consent import Answer, Consent, Question
from sync.replication.graph import FIRST, NEXT, Gates, Graph, Once
from sync.replication.journey import Journey
from sync.replication.plan import Decision
from sync.replication.referrers import Found, Referrers
from sync.replication.whereabouts import Whereabouts

MAX_DEPTH = 8
# A copy that took longer looks once more for a tag that must not be overwritten.
LOOK_AGAIN_SECONDS = 5.0
MAX_MANIFESTS = 2000


class TagTaken(Exception):
    """The tag came to the target while the copy was under way, with another digest; the rule does not overwrite."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class Superseded(Exception):
    """The tag of the target holds what was pushed later than what was to be copied."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class Transfer:
    """Copies artifacts from one registry to another, as nodes of a graph, one Journey each."""

    def __init__(
        self,
        graph: Graph,
        source: Client,
        target: Client,
        whereabouts: Whereabouts,
        *,
        same_instance: bool,
        with_referrers: bool,
        overwrite: bool,
        consent: Consent | None = None,
    ) -> None:
        """consent: asked before a tag is written; None where nobody else writes."""
        self._graph = graph
        self._consent = consent
        self._source = source
        self._target = target
        self._blobs = Blobs(graph, source, target, whereabouts, same_instance=same_instance)
        self._with_referrers = with_referrers and target.keeps_parts
        self._overwrite = overwrite
        self._referrers = Referrers(
            graph, source, target, whereabouts, overwrite=overwrite, bring=self._bring_manifest, consent=consent
        )
        # No two write the same manifest into the same repository at once: registries answer wrongly while two do.
        self._children = Once(graph)
        self._turns = Gates(graph)
        self._below: dict[str, tuple[Descriptor, ...]] = {}
        # Bytes of the blobs that a manifest stands on; of children others may have brought them.
        self._sizes: dict[str, int] = {}

    async def copy(self, journey: Journey, decision: Decision, root: Manifest, looked_at: float) -> None:
        """Brings the manifest and all that it stands on, then lets the tag point to it.

        Raises OciError, TagTaken, Superseded.

        looked_at: when the target was seen to hold what the decision says (monotonic seconds).
        """
        self._target.expect(journey.target_repository, root)
        try:
            await self._copy(journey, decision, root, looked_at)
        finally:
            self._target.expect_no_more(journey.target_repository, root)

    async def _copy(self, journey: Journey, decision: Decision, root: Manifest, looked_at: float) -> None:
        await self._bring_parts(journey, root)
        journey.size = self._sizes.get(root.digest)
        if self._with_referrers:
            await self._bring_referrers(journey, root)
        if self._consent is not None:
            await self._take_tag(self._consent, journey, decision)
        elif not self._overwrite and monotonic() - looked_at > LOOK_AGAIN_SECONDS:
            self._look_again(journey, decision)
        await self._write(journey, decision.tag, root)

    async def _take_tag(self, consent: Consent, journey: Journey, decision: Decision) -> None:
        """The tag is ours to write, and holds what it held when we were told so."""
        names = journey.source_repository, journey.target_repository
        there, looked = decision.target_digest, None
        while True:
            answer = await consent.take(Question(*names, decision.tag, decision.digest, there, looked), journey.lease)
            if answer is Answer.SUPERSEDED:
                raise Superseded(there)
            found = self._look_again(journey, decision)
            if answer is Answer.LOOK_AGAIN:
                now = self._source.head_manifest(journey.source_repository, decision.tag)
                looked = now is not None and now.digest == decision.digest
            elif found in (there, decision.digest):
                return
            there = found

    def _look_again(self, journey: Journey, decision: Decision) -> str:
        """What the tag holds now: somebody may have pushed it meanwhile, or it could not be seen before.

        Raises TagTaken when that is another digest, which the rule does not overwrite.
        """
        read = partial(self._source.get_manifest, journey.source_repository, decision.digest)
        try:
            there = self._target.look_beside(journey.target_repository, decision.tag, decision.digest, read)
        except (Unauthorized, Denied) as error:
            if self._overwrite:
                return decision.target_digest
            error.hint = "Existing tags are to be kept, but this account may not look for them: let it read the target."
            raise
        if there not in ("", decision.digest) and not self._overwrite:
            raise TagTaken(there)
        return there

    async def complete(self, journey: Journey, held: Descriptor, *, thorough: bool = True) -> bool:
        """For a resource that is equal already: brings signatures that came after it. True when one was missing.

        Those of what lies below an index are looked for where there may be some: by tags, and if `thorough` by the API.
        """
        if not self._with_referrers:
            return False
        found = self._referrers.find(journey, held.digest)
        await self._referrers.bring(journey, found)
        if held.is_index and ((thorough and found.by_api) or journey.may_find_below(held.digest)):
            for subject in self._descendants(journey, held):
                await self._referrers.bring(journey, self._referrers.find(journey, subject))
        return journey.manifests > 0

    def _descendants(self, journey: Journey, index: Descriptor, depth: int = 0) -> Iterator[str]:
        if index.digest not in self._below:
            self._below[index.digest] = self._source.get_manifest(journey.source_repository, index.digest).children
        for child in self._below[index.digest]:
            yield child.digest
            if child.is_index and depth < MAX_DEPTH:
                yield from self._descendants(journey, child, depth + 1)

    async def _bring_referrers(self, journey: Journey, root: Manifest) -> None:
        digests = (root.digest, *sorted(journey.sent))
        looks = [self._graph.spawn(self._find_referrers(journey, digest), NEXT) for digest in digests]
        found = [await look for look in looks]
        if any(found):
            await self._write(journey, root.digest, root)
        for referrers in filter(None, found):
            await self._referrers.bring(journey, referrers)

    async def _find_referrers(self, journey: Journey, digest: str) -> Found:
        return self._referrers.find(journey, digest)

    async def _bring_parts(self, journey: Journey, manifest: Manifest, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise InvalidManifest(f"indexes are nested more than {MAX_DEPTH} deep", side="source")
        if manifest.is_index:
            self._below[manifest.digest] = manifest.children
        await self._blobs.ensure(manifest.blobs, journey)
        children = (self._bring_child(journey, manifest, child, depth + 1) for child in manifest.children)
        await self._graph.all((FIRST, child) for child in children)
        below = sum(self._sizes.get(child.digest, 0) for child in manifest.children)
        self._sizes[manifest.digest] = sum(blob.size for blob in manifest.blobs) + below

    async def _bring_child(self, journey: Journey, index: Manifest, child: Descriptor, depth: int) -> None:
        async def bring() -> None:
            try:
                manifest = self._source.get_manifest(journey.source_repository, child.digest)
            except NotFound as error:
                error.operation += index.platform_of(child.digest)
                raise
            await self._bring_manifest(journey, child.digest, manifest, depth)

        await self._children.do((journey.target_repository, child.digest), bring)
        journey.sent.add(child.digest)
        if child.is_index:  # another journey may have brought it, with what lies below
            journey.sent.update(self._descendants(journey, child))

    async def _bring_manifest(self, journey: Journey, reference: str, manifest: Manifest, depth: int = 0) -> None:
        await self._bring_parts(journey, manifest, depth)
        await self._write(journey, reference, manifest)
        journey.sent.add(manifest.digest)

    async def _write(self, journey: Journey, reference: str, manifest: Manifest) -> None:
        if journey.manifests >= MAX_MANIFESTS:
            raise ManifestTooLarge(f"more than {MAX_MANIFESTS} manifests hang on one tag", side="source")
        async with self._turns[journey.target_repository, manifest.digest]:
            self._target.put_manifest(journey.target_repository, reference, manifest, check=journey.check_lease)
        journey.wrote()
