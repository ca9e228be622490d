"""What the source holds: tags in numbered versions, moved forward while tasks run."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from demo import artifacts
from demo.artifacts import Artifact, Blob
from tests.soak.shelf import Shelf

PLATFORMS = ("linux/amd64", "linux/arm64")
# By the number of a repository: two of ten hold charts, two images for two platforms, one signed images.
KINDS = ("image", "index", "chart", "signed", "image", "docker-list", "image", "chart", "image", "image")
WIDE, LONG = "wide", "long"

Key = tuple[str, str]
"""(repository in the source, tag)"""


@dataclass(frozen=True)
class Size:
    """The namespace `wide` has many repositories of some tags, `long` one repository of as many tags as all those."""

    repositories: int
    tags: int
    large: int
    large_bytes: int
    bytes_per_second: int
    """To and from the target: a task lasts long enough to be hit."""
    at_once: int
    """Resources that one worker works on at the same time: fewer, so that a small task lasts long enough to be hit."""
    strikes: int
    """After so many a task is left in peace, so that it can end."""

    @property
    def resources(self) -> int:
        return self.repositories * self.tags


WHOLE = Size(
    repositories=50, tags=20, large=5, large_bytes=20_000_000, bytes_per_second=20_000_000, at_once=8, strikes=25
)
PART = Size(repositories=20, tags=10, large=2, large_bytes=8_000_000, bytes_per_second=1_500_000, at_once=2, strikes=6)


class Corpus:
    def __init__(self, size: Size, seed: int, shelf: Shelf) -> None:
        self.size = size
        self._seed = seed
        self._shelf = shelf
        # Every digest that a tag ever had, in order.
        self.history: dict[Key, list[str]] = {key: [] for key in self._keys()}
        self._shared = [self._layer("shared", number, 200_000) for number in range(3)]

    def _keys(self) -> Iterator[Key]:
        for repository in range(self.size.repositories):
            for tag in range(self.size.tags):
                yield f"{WIDE}/app-{repository:02}", f"v1.{tag}"
        for tag in range(self.size.resources):
            yield f"{LONG}/web", f"v1.{tag}"

    def fill(self) -> None:
        for key in self.history:
            self.move(key)

    def move(self, key: Key) -> None:
        """Lets the tag point to its next version; it is in the history before anybody can see it."""
        repository, tag = key
        artifact = self._make(key, len(self.history[key]))
        self.history[key].append(artifact.digest)
        self._shelf.put(repository, artifact, tag)
        if self.is_signed(repository):
            signature = artifacts.signature(artifact)
            self._shelf.put(repository, artifacts.index([signature]), artifacts.fallback_tag(artifact))

    def move_some(self, random: Random, share: float) -> None:
        """Moves so large a share of the tags of `wide`, the large ones among them."""
        chosen = [key for key in self.of(WIDE) if random.random() < share or self._is_large(key)]
        for key in chosen:
            self.move(key)

    def of(self, namespace: str) -> list[Key]:
        return [key for key in self.history if key[0].startswith(f"{namespace}/")]

    def now(self, namespace: str) -> dict[Key, int]:
        """The number of the version that each tag has."""
        return {key: len(self.history[key]) - 1 for key in self.of(namespace)}

    def version(self, key: Key, digest: str) -> int | None:
        """None for a digest that the tag never had."""
        known = self.history[key]
        return known.index(digest) if digest in known else None

    def is_signed(self, repository: str) -> bool:
        return self._kind(repository) == "signed"

    def _kind(self, repository: str) -> str:
        number = repository.rpartition("-")[2]
        return KINDS[int(number) % len(KINDS)] if number.isdigit() else "image"

    def _is_large(self, key: Key) -> bool:
        repository, tag = key
        number = repository.rpartition("-")[2]
        return tag == "v1.0" and number.isdigit() and int(number) % 10 == 4 and int(number) // 10 < self.size.large

    def _make(self, key: Key, version: int) -> Artifact:
        repository, tag = key
        kind = self._kind(repository)
        if kind == "chart":
            return artifacts.chart(repository.rpartition("/")[2], f"1.{version}", {"tag": tag})
        docker = kind == "docker-list"
        platforms = PLATFORMS if kind in ("index", "docker-list") else PLATFORMS[:1]
        labels = {"tag": f"{repository}:{tag}", "version": str(version)}
        images = [artifacts.image(self._layers(key, version, one), one, labels, docker) for one in platforms]
        return artifacts.index(images, docker) if len(images) > 1 else images[0]

    def _layers(self, key: Key, version: int, platform: str) -> list[Blob]:
        """One shared by many repositories, one by the tags of this one, one its own; some also a large one."""
        repository, tag = key
        layers = [
            self._shared[len(repository + tag) % len(self._shared)],
            self._layer(f"{repository} {platform}", 0, 20_000),
            self._layer(f"{repository} {tag} {platform}", version, 2_000),
        ]
        if self._is_large(key):
            layers.append(self._layer(f"{repository} {tag} large", version, self.size.large_bytes))
        return layers

    def _layer(self, name: str, version: int, size: int) -> Blob:
        content = Random(f"{self._seed} {name} {version}").randbytes(size)
        return artifacts.layer({"data.bin": content}, compression=0)
