"""What is copied: the same seed gives the same bytes. Nothing here talks to a registry."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from demo import artifacts
from demo.artifacts import Artifact, Blob
from demo.content import Tagged

NAMESPACE = "bench"
NEW_TAGS = 10
MEGABYTE = 1_000_000
ARCHITECTURES = ("amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64")


@dataclass(frozen=True)
class Size:
    """`scale` shrinks the megabytes of few-large."""

    repositories: int
    tags: int
    scale: float = 1.0

    def shrunk(self, scale: float) -> "Size":
        def some(number: int) -> int:
            return max(2, round(number * math.sqrt(scale)))

        return self if scale == 1 else Size(some(self.repositories), some(self.tags), scale)


@dataclass(frozen=True)
class Corpus:
    """`content` is there from the beginning; `new` are ten tags that come later."""

    name: str
    content: Sequence[Tagged]
    new: Sequence[Tagged]

    def __str__(self) -> str:
        repositories = {item.repository for item in self.content}
        blobs = {blob.digest: len(blob.data) for item in self.content for blob in blobs_of(item.artifact)}
        indexes = sum(bool(item.artifact.children) for item in self.content)
        manifests = sum(len(item.artifact.children) for item in self.content)
        multi = f", {indexes} indexes of {manifests} manifests" if indexes else ""
        return (
            f"{self.name}: {len(repositories)} repositories, {len(self.content)} tags{multi}, "
            f"{len(blobs)} blobs, {sum(blobs.values()) / MEGABYTE:.1f} MB"
        )


def blobs_of(artifact: Artifact) -> Iterator[Blob]:
    yield from artifact.blobs
    for child in artifact.children:
        yield from blobs_of(child)


Maker = Callable[["_Layers", str, int, int, Size], Artifact]
"""(layers, name of the repository, its number, number of the tag, size)"""


def build(name: str, seed: int, scale: float = 1.0) -> Corpus:
    size, make = CORPORA[name]
    size, layers = size.shrunk(scale), _Layers(f"{seed} {name}")

    def tagged(repository: int, tag: int) -> Tagged:
        # Tools name what arrives by the last segment: it differs from repository to repository.
        return Tagged(
            f"{NAMESPACE}/app-{repository:02}",
            f"1.{tag}.0",
            make(layers, f"app-{repository:02}", repository, tag, size),
        )

    content = [tagged(repository, tag) for repository in range(size.repositories) for tag in range(size.tags)]
    # Over as many repositories as there are, up to ten.
    new = [tagged(n % size.repositories, size.tags + n // size.repositories) for n in range(NEW_TAGS)]
    return Corpus(name, content, new)


class _Layers:
    """Layers of bytes that do not compress, each made once. Packed as gzip, which some tools insist on, but stored."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.get = lru_cache(maxsize=None)(self._make)

    def _make(self, name: str, size: int) -> Blob:
        content = Random(f"{self._seed} {name}").randbytes(size)
        return artifacts.layer({"data.bin": content}, compression=0)


def _small(layers: _Layers, name: str, repository: int, tag: int, _: Size) -> Artifact:
    """One of five bases, one of ten runtimes, and one or two layers of its own."""
    own = [layers.get(f"{name} {tag} {number}", 8_000 + 1_000 * (tag % 8)) for number in range(1 + tag % 2)]
    shared = [layers.get(f"base {repository % 5}", 900_000), layers.get(f"runtime {repository % 10}", 300_000)]
    return artifacts.image([*shared, *own], labels={"tag": f"{name}:{tag}"})


def _large(layers: _Layers, name: str, _: int, tag: int, size: Size) -> Artifact:
    """Two bases of 140 MB, each in every repository, and 60 MB of its own: 8 images have 760 MB, 1,600 with repeats."""
    parts = ((f"base {tag % 2}", 140), (f"{name} {tag} data", 40), (f"{name} {tag} app", 20))
    blobs = [layers.get(part, int(megabytes * MEGABYTE * size.scale)) for part, megabytes in parts]
    return artifacts.image(blobs, labels={"tag": f"{name}:{tag}"})


def _multi(layers: _Layers, name: str, _: int, tag: int, __: Size) -> Artifact:
    """For each of nine platforms a base that all share and a layer of its own."""
    images = [
        artifacts.image(
            [layers.get(f"base {platform}", 400_000), layers.get(f"{name} {tag} {platform}", 8_000)],
            platform,
            {"tag": f"{name}:{tag}"},
        )
        for platform in (f"linux/{architecture}" for architecture in ARCHITECTURES)
    ]
    return artifacts.index(images)


def _chart(layers: _Layers, name: str, _: int, tag: int, __: Size) -> Artifact:
    values = layers.get(f"{name} {tag}", 6_000).data.hex()
    return artifacts.chart(name, f"1.{tag}.0", {"data": values})


CORPORA: dict[str, tuple[Size, Maker]] = {
    "many-small": (Size(repositories=50, tags=20), _small),
    "few-large": (Size(repositories=4, tags=2), _large),
    "multi-arch": (Size(repositories=9, tags=10), _multi),
    "charts": (Size(repositories=20, tags=10), _chart),
    # For slow networks.
    "hundred": (Size(repositories=10, tags=10), _small),
    "spread": (Size(repositories=40, tags=15), _small),
}
