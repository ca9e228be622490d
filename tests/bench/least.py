"""The fewest requests and bytes by which a target can be brought to what the source holds; docs/performance.md."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from demo.artifacts import Artifact
from demo.content import Tagged
from tests.bench.corpus import blobs_of


@dataclass(frozen=True)
class Least:
    """`blob_bytes`: what the target has nowhere, once. `bytes`: with the manifests that are written."""

    source_requests: int
    target_requests: int
    blob_bytes: int
    bytes: int


def least(held: Sequence[Tagged], missing: Sequence[Tagged]) -> Least:
    """The tags in `held` are equal on both sides, those in `missing` are in the source alone."""
    there, wanted = _Parts(held), _Parts(missing)
    new_pairs = wanted.pairs.keys() - there.pairs.keys()
    new_blobs = wanted.blobs.keys() - there.blobs.keys()
    new_children = wanted.children.keys() - there.children.keys()
    new_manifests = {digest for _, digest in new_children}
    repositories = {item.repository for item in [*held, *missing]}
    listing = 1 + len(repositories)
    asking = len(held) + len({item.repository for item in missing})
    blob_bytes = sum(wanted.blobs[digest] for digest in new_blobs)
    written = sum(len(item.artifact.body) for item in missing) + sum(wanted.children[key] for key in new_children)
    return Least(
        source_requests=listing + len(held) + len(missing) + len(new_manifests) + len(new_blobs),
        target_requests=asking + len(new_pairs) + len(new_blobs) + len(missing) + len(new_children),
        blob_bytes=blob_bytes,
        bytes=blob_bytes + written,
    )


class _Parts:
    """Sizes by digest, and by (repository, digest)."""

    def __init__(self, items: Iterable[Tagged]) -> None:
        self.blobs: dict[str, int] = {}
        self.pairs: dict[tuple[str, str], int] = {}
        self.children: dict[tuple[str, str], int] = {}
        for item in items:
            for blob in blobs_of(item.artifact):
                self.blobs[blob.digest] = self.pairs[item.repository, blob.digest] = len(blob.data)
            for child in _children_of(item.artifact):
                self.children[item.repository, child.digest] = len(child.body)


def _children_of(artifact: Artifact) -> Iterator[Artifact]:
    for child in artifact.children:
        yield child
        yield from _children_of(child)
