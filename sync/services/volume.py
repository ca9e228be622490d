"""How many bytes a rule would move: the sizes that the manifests tell, each blob counted once."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from sync.models import SyncRule
from sync.oci.client import Client
from sync.oci.errors import Cancelled, OciError
from sync.oci.manifest import Manifest
from sync.replication.plan import Action
from sync.services.connect import open_registry
from sync.services.preview import Planned

MOVING = (Action.COPY, Action.OVERWRITE)
# An index within an index within an index: nobody goes deeper.
DEPTH = 4


@dataclass(frozen=True)
class Contents:
    """What a manifest says of its parts; as it is named by its digest, this never changes."""

    blobs: tuple[tuple[str, int], ...]
    children: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "Contents":
        """Layers that are kept elsewhere are never moved."""
        blobs = tuple((blob.digest, blob.size) for blob in manifest.blobs)
        return cls(blobs, tuple(child.digest for child in manifest.children))


Read = Callable[[str, str], Contents]
# A digest, and the repositories of the tags that stand for it.
Moving = tuple[str, list[str]]


@dataclass
class Volume:
    """An upper bound, of the tags whose manifests were read: the target may hold some of their blobs already.

    tags: how many are known to be copied or overwritten. whole: there are no others. What describes an image, as a
    signature, is not looked for; `described` says whether it travels along.
    """

    tags: int = 0
    read: int = 0
    whole: bool = True
    described: bool = False
    blobs: dict[str, int] = field(default_factory=dict)

    def fill(self, found: Iterable[tuple[Moving, dict[str, int] | None]]) -> None:
        """With the blobs of what moves; None where they could not be read."""
        for (_, repositories), blobs in found:
            if blobs is not None:
                self.read += len(repositories)
                self.blobs |= blobs

    @property
    def bytes(self) -> int:
        return sum(self.blobs.values())

    @property
    def is_complete(self) -> bool:
        return self.whole and self.read == self.tags

    def __str__(self) -> str:
        """`about 120 MB to move at the most`; blank when nothing is known, or nothing moves."""
        if not self.bytes:
            return ""
        counted = ", not counting attached signatures and attestations" if self.described else ""
        return f"about {filesizeformat(self.bytes)} to move at the most{self._scope}{counted}"

    @property
    def _scope(self) -> str:
        if self.is_complete:
            return ""
        tags = f"{self.tags} tag{'' if self.tags == 1 else 's'}"
        if self.whole:
            return f" for {self.read} of {tags}"
        part = "" if self.read == self.tags else f"{self.read} of "
        return f" for {part}the {tags} found so far"


def moving(planned: Sequence[Planned]) -> list[Moving]:
    """What would be copied, or overwrite something."""
    found: dict[str, list[str]] = {}
    for one in planned:
        if one.decision and one.decision.action in MOVING:
            found.setdefault(one.decision.digest, []).append(one.repository)
    return list(found.items())


def volume_of(moves: Sequence[Moving], *, whole: bool, described: bool) -> Volume:
    """Nothing of it is read yet."""
    return Volume(sum(len(repositories) for _, repositories in moves), whole=whole, described=described)


def blobs_of(read: Read, one: Moving) -> dict[str, int] | None:
    """The blobs of a manifest and its children, and their sizes; None when one cannot be read. Raises Cancelled."""
    digest, (repository, *_) = one
    blobs: dict[str, int] = {}
    level = {digest}
    try:
        for _ in range(DEPTH):
            found = [read(repository, name) for name in sorted(level)]
            blobs.update(blob for contents in found for blob in contents.blobs)
            level = {child for contents in found for child in contents.children}
    except Cancelled:
        raise
    except OciError:
        return None
    return None if level else blobs


def weigh(rule: SyncRule, planned: Sequence[Planned]) -> Volume:
    """Reads every manifest of what would move, however long it takes. Raises CredentialKeyMissing."""
    moves = moving(planned)
    volume = volume_of(moves, whole=all(one.decision for one in planned), described=rule.with_referrers)
    pool = ThreadPoolExecutor(settings.CALLS_AT_ONCE)
    with closing(open_registry(rule.source, "source").client) as client, pool:
        volume.fill(zip(moves, pool.map(partial(blobs_of, Reader(client).read), moves), strict=True))
    return volume


class Reader:
    """Reads each manifest once, however many tags stand for it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, Contents] = {}

    def read(self, repository: str, digest: str) -> Contents:
        """Raises OciError."""
        if digest not in self._known:
            self._known[digest] = Contents.of(self._client.get_manifest(repository, digest))
        return self._known[digest]
