"""Copying one artifact graph, children first, byte for byte; the tag is written last.

Order: blobs, child manifests, the manifest itself, what refers to it (signatures, SBOMs, attestations), the tag.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from time import monotonic

from sync.oci.client import Client
from sync.oci.errors import Denied, InvalidManifest, ManifestTooLarge, Unauthorized
from sync.oci.manifest import Manifest
from sync.oci.reference import digest_tags
from sync.replication.blobs import Blobs, Hints
from sync.replication.journey import Journey
from sync.replication.plan import Decision
from sync.replication.referrers import Referrers
from sync.replication.single import SingleFlight

MAX_DEPTH = 8
# A copy that took longer looks once more for a tag that must not be overwritten.
LOOK_AGAIN_SECONDS = 2.0
MAX_MANIFESTS = 2000


class TagTaken(Exception):
    """The tag came to the target while the copy was under way, with another digest; the rule does not overwrite."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class Transfer:
    """Copies artifacts from one registry to another. Safe to use from several threads, one Journey each."""

    def __init__(
        self,
        source: Client,
        target: Client,
        kept_in: Hints,
        *,
        same_instance: bool,
        with_referrers: bool,
        overwrite: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._blobs = Blobs(source, target, kept_in, same_instance=same_instance)
        self._with_referrers = with_referrers
        self._overwrite = overwrite
        self._referrers = Referrers(source, target, overwrite=overwrite, bring=self._bring_manifest)
        # No two threads write the same manifest into the same repository: registries answer wrongly while two do.
        self._children = SingleFlight()
        self._turns: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def copy(self, journey: Journey, decision: Decision) -> None:
        """Brings the digest and all that it stands on, then lets the tag point to it. Raises OciError, TagTaken."""
        began = monotonic()
        root = self._source.get_manifest(journey.source_repository, decision.digest)
        self._bring_parts(journey, root)
        if self._with_referrers:
            self._bring_referrers(journey, root)
        if not self._overwrite and (decision.blind or monotonic() - began > LOOK_AGAIN_SECONDS):
            self._look_again(journey, decision)
        self._write(journey, decision.tag, root)

    def _look_again(self, journey: Journey, decision: Decision) -> None:
        """Somebody may have pushed the tag meanwhile, or it could not be seen before the repository was there."""
        try:
            there = self._target.head_manifest(journey.target_repository, decision.tag)
        except (Unauthorized, Denied) as error:
            error.hint = "Existing tags are to be kept, but this account may not look for them: let it read the target."
            raise
        if there is not None and there.digest != decision.digest:
            raise TagTaken(there.digest)

    def complete(self, journey: Journey, digest: str) -> bool:
        """For a resource that is equal already: brings signatures that came after it. True when one was missing."""
        if not self._with_referrers:
            return False
        for subject in self._subjects(journey, digest):
            self._referrers.bring(journey, self._referrers.find(journey, subject))
        return journey.manifests > 0

    def _subjects(self, journey: Journey, digest: str) -> list[str]:
        """The digest, and all below it when digest tags are left that may be theirs."""
        if not journey.digest_tags - set(digest_tags(digest)):
            return [digest]
        return [digest, *self._descendants(journey, digest)]

    def _descendants(self, journey: Journey, digest: str, depth: int = 0) -> Iterator[str]:
        for child in self._source.get_manifest(journey.source_repository, digest).children:
            yield child.digest
            if child.is_index and depth < MAX_DEPTH:
                yield from self._descendants(journey, child.digest, depth + 1)

    def _bring_referrers(self, journey: Journey, root: Manifest) -> None:
        found = [self._referrers.find(journey, digest) for digest in (root.digest, *sorted(journey.sent))]
        if any(found):
            self._write(journey, root.digest, root)
        for referrers in filter(None, found):
            self._referrers.bring(journey, referrers)

    def _bring_parts(self, journey: Journey, manifest: Manifest, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise InvalidManifest(f"indexes are nested more than {MAX_DEPTH} deep", side="source")
        for blob in manifest.blobs:
            self._blobs.ensure(blob, journey)
        for child in manifest.children:
            key = (journey.target_repository, child.digest)
            self._children.do(key, partial(self._bring_child, journey, child.digest, depth + 1))
            journey.sent.add(child.digest)

    def _bring_child(self, journey: Journey, digest: str, depth: int) -> None:
        self._bring_manifest(journey, digest, self._source.get_manifest(journey.source_repository, digest), depth)

    def _bring_manifest(self, journey: Journey, reference: str, manifest: Manifest, depth: int = 0) -> None:
        self._bring_parts(journey, manifest, depth)
        self._write(journey, reference, manifest)
        journey.sent.add(manifest.digest)

    def _write(self, journey: Journey, reference: str, manifest: Manifest) -> None:
        if journey.manifests >= MAX_MANIFESTS:
            raise ManifestTooLarge(f"more than {MAX_MANIFESTS} manifests hang on one tag", side="source")
        with self._turns[journey.target_repository, manifest.digest]:
            journey.check_lease()
            self._target.put_manifest(journey.target_repository, reference, manifest)
        journey.manifests += 1
