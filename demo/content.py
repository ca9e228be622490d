"""The sample content of the demo's first registry: made here, the same for the same seed, about 20 MB."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from demo import artifacts
from demo.artifacts import Artifact, Blob
from sync.oci.client import Client
from sync.oci.manifest import Descriptor, Manifest
from sync.oci.places import Endpoint

SEED = 2025
PLATFORMS = ("linux/amd64", "linux/arm64")
MEBIBYTE = 1024 * 1024
LARGE_LAYER_BYTES = 8 * MEBIBYTE
NEXT_IMAGE = "prod/web/frontend"


@dataclass(frozen=True)
class Tagged:
    """An artifact and where it goes. Without a tag it is pushed by its digest."""

    repository: str
    tag: str
    artifact: Artifact


@dataclass(frozen=True)
class Recipe:
    """One repository of the sample. `latest` among the tags is the version before it once more."""

    repository: str
    kind: str
    tags: str
    large: bool = False
    signed: bool = False


RECIPES = (
    Recipe("prod/web/nginx", "index", "v1.0.0 v1.1.0 v1.2.0 latest v1.3.0-rc1"),
    Recipe("prod/web/frontend", "image", "v2.0.0 v2.1.0 v2.2.0 latest"),
    Recipe("prod/api/orders", "docker-list", "v1.0.0 v1.1.0 v1.2.0 latest"),
    Recipe("prod/api/payments", "docker", "v0.9.0 v1.0.0 v1.0.1 v1.1.0-rc1"),
    Recipe("prod/data/postgres", "index", "v16.1 v16.2 latest", large=True),
    Recipe("prod/tools/backup", "image", "v1.0.0 v1.1.0", signed=True),
    Recipe("prod/charts/web", "chart", "0.1.0 0.2.0 1.0.0"),
    Recipe("prod/charts/orders", "chart", "0.1.0 0.2.0 1.0.0 1.1.0"),
    Recipe("prod/charts/monitoring", "chart", "2.0.0 2.1.0"),
    Recipe("team-a/worker", "image", "v0.1.0 v0.2.0 v0.3.0 latest"),
    Recipe("team-a/ml/trainer", "docker", "v3.0.0 v3.1.0 latest"),
    Recipe("team-a/cache", "docker-list", "v7.2.0 v7.2.1 latest"),
    Recipe("team-a/charts/queue", "chart", "0.1.0 0.2.0"),
    Recipe("hello", "image", "v1 latest"),
)


def build(seed: int = SEED) -> Iterator[Tagged]:
    """All sample artifacts, in the order in which they can be pushed."""
    for recipe in RECIPES:
        yield from _build_repository(recipe, seed)


def one_more(number: int, seed: int = SEED) -> Tagged:
    """The image that `make demo-push` pushes the `number`-th time: a tag that nothing else has."""
    tag = f"v3.{number}.0"
    return Tagged(NEXT_IMAGE, tag, _make("image", NEXT_IMAGE, tag, seed, large=False))


def push(content: Iterable[Tagged], url: str) -> int:
    """Push to the registry without credentials; gives the number of tags. Raises sync.oci.errors.OciError."""
    client = Client(Endpoint(url=url, name="demo"), side="target")
    there: set[tuple[str, str]] = set()
    tags = 0
    for item in content:
        _push_artifact(client, item.repository, item.artifact, item.tag or item.artifact.digest, there)
        tags += bool(item.tag)
    return tags


def push_next(url: str) -> Tagged:
    """Push the first of the one_more() images whose tag is still free."""
    client = Client(Endpoint(url=url, name="demo"), side="target")
    taken = set(client.tags(NEXT_IMAGE))
    item = next(item for item in map(one_more, range(10_000)) if item.tag not in taken)
    push([item], url)
    return item


def _build_repository(recipe: Recipe, seed: int) -> Iterator[Tagged]:
    artifact: Artifact | None = None
    for tag in recipe.tags.split():
        if artifact is None or tag != "latest":
            artifact = _make(recipe.kind, recipe.repository, tag, seed, recipe.large)
        yield Tagged(recipe.repository, tag, artifact)
        if recipe.signed:
            yield from _signed(recipe.repository, artifact)


def _signed(repository: str, subject: Artifact) -> Iterator[Tagged]:
    """A signature and the fallback index that lets clients find it in a registry without a referrers API."""
    signature = artifacts.signature(subject)
    yield Tagged(repository, "", signature)
    yield Tagged(repository, artifacts.fallback_tag(subject), artifacts.index([signature]))


def _make(kind: str, repository: str, tag: str, seed: int, large: bool) -> Artifact:
    name = repository.rsplit("/", 1)[-1]
    if kind == "chart":
        return artifacts.chart(name, tag, {"replicas": 2, "image": {"tag": f"v{tag}"}})
    docker = kind.startswith("docker")
    platforms = PLATFORMS if kind in ("index", "docker-list") else PLATFORMS[:1]
    images = [
        artifacts.image(_layers(repository, tag, platform, seed, large), platform, {"version": tag}, docker=docker)
        for platform in platforms
    ]
    return artifacts.index(images, docker=docker) if len(images) > 1 else images[0]


def _layers(repository: str, tag: str, platform: str, seed: int, large: bool) -> list[Blob]:
    """A base shared by all repositories, a runtime shared by a namespace's, and the application's own layer."""
    namespace = repository.split("/")[0]
    layers = [
        _random_layer(f"{seed} base {platform}", 300_000, {"etc/os-release": f"ID=demo\nPLATFORM={platform}\n"}),
        _random_layer(f"{seed} {namespace} {platform}", 100_000, {"usr/lib/runtime/README": namespace}),
        _random_layer(f"{seed} {repository} {tag} {platform}", 50_000, {"app/version": tag, "app/name": repository}),
    ]
    if large:
        layers.insert(2, _random_layer(f"{seed} {repository} {tag} large", LARGE_LAYER_BYTES, {}))
    return layers


def _random_layer(seed: str, size: int, files: dict[str, str]) -> Blob:
    """A layer of little readable files and `size` bytes that do not compress, always the same for a seed."""
    readable = {path: text.encode() for path, text in files.items()}
    return artifacts.layer({**readable, "usr/share/data.bin": random.Random(seed).randbytes(size)}, compression=1)


def _push_artifact(
    client: Client, repository: str, artifact: Artifact, reference: str, there: set[tuple[str, str]]
) -> None:
    """Children and blobs first; `there` are the (repository, digest) of blobs pushed before."""
    for child in artifact.children:
        _push_artifact(client, repository, child, child.digest, there)
    for blob in artifact.blobs:
        if (repository, blob.digest) not in there:
            descriptor = Descriptor("application/octet-stream", blob.digest, len(blob.data))
            client.upload(repository, descriptor, [blob.data], None)
            there.add((repository, blob.digest))
    client.put_manifest(repository, reference, Manifest.parse(artifact.body, artifact.media_type))
