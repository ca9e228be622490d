"""Content to copy, and the engine run over it."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import requests

from demo import artifacts, content
from demo.artifacts import Artifact, Blob
from demo.content import Tagged
from sync.oci.client import Client
from sync.oci.errors import OciError
from sync.oci.places import Endpoint
from sync.registries import PlainRegistry
from sync.replication.events import BytesMoved, Event, LeftOut, RepositoryDone, ResourceDone, Tick, Vanished
from sync.replication.plan import list_repositories
from sync.replication.run import Replication
from sync.replication.spec import Spec
from sync.replication.whereabouts import Hints, Whereabouts
from sync.replication.work import Limits, RepositoryWork

RULE: dict[str, Any] = {
    "source_namespace": "prod",
    "target_namespace": "",
    "repositories": "",
    "exclude_repositories": "",
    "tags": "",
    "exclude_tags": "",
    "images": True,
    "charts": True,
    "others": True,
    "with_referrers": True,
    "overwrite": False,
}
_seeds = count(1)


def spec(**rule: Any) -> Spec:
    return Spec.from_snapshot(RULE | rule)


@dataclass
class Ran:
    """What a run has told."""

    events: list[Event]

    @property
    def resources(self) -> dict[str, ResourceDone]:
        done = (event for event in self.events if isinstance(event, ResourceDone))
        return {f"{one.repository}:{one.tag}": one for one in done}

    def error(self, name: str) -> OciError:
        """Why repository:tag failed."""
        error = self.resources[name].error
        assert error is not None
        return error

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: done.outcome.value for name, done in self.resources.items()}

    @property
    def moved_bytes(self) -> int:
        return sum(event.count for event in self.events if isinstance(event, BytesMoved))

    @property
    def left_out(self) -> list[str]:
        return sorted(event.tag for event in self.events if isinstance(event, LeftOut))

    @property
    def vanished(self) -> list[str]:
        return sorted(event.tag for event in self.events if isinstance(event, Vanished))

    @property
    def interrupted(self) -> set[str]:
        return {event.repository for event in self.events if isinstance(event, RepositoryDone) and event.interrupted}


def replicate(
    source: str,
    target: str,
    *,
    only: tuple[str, ...] = (),
    should_stop: Callable[[list[Event]], bool] = lambda events: False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    manifest_limit: int = 4 * 1024 * 1024,
    read_timeout: float = 20,
    hints: Whereabouts | None = None,
    **rule: Any,
) -> Ran:
    """Runs the engine from registry to registry; `only`: tags to take instead of those that match."""
    stop = threading.Event()
    from_, to = (
        PlainRegistry(
            Client(
                Endpoint(url, name=side, read_timeout=read_timeout),
                side=side,
                cancelled=stop.is_set,
                manifest_limit=manifest_limit,
            )
        )
        for side, url in (("source", source), ("target", target))
    )
    wanted = replace(spec(**rule), same_instance=source == target)
    run = Replication(from_, to, wanted, stop, limits, Hints() if hints is None else hints)
    work: Iterator[RepositoryWork] = (RepositoryWork(name, only or None) for name in list_repositories(from_, wanted))
    events: list[Event] = []
    for event in run.run(lambda most: list(islice(work, most)), lambda: should_stop(events)):
        if not isinstance(event, Tick):
            events.append(event)
    return Ran(events)


def push(url: str, repository: str, tag: str, artifact: Artifact) -> Artifact:
    """Pushes it under the tag, or by its digest when the tag is blank."""
    content.push([Tagged(repository, tag, artifact)], url)
    return artifact


def sign(url: str, repository: str, subject: Artifact, *more: Artifact, nested: bool = False) -> Artifact:
    """Pushes a signature and the fallback index under which it is found, with those already there (`more`)."""
    signature = push(url, repository, "", artifacts.signature(subject))
    push(url, repository, artifacts.fallback_tag(subject), artifacts.index([*more, signature]))
    return signature


def some_layer(size: int = 3000) -> Blob:
    """A layer that nothing else has."""
    return artifacts.layer({"data": random.Random(f"layer {next(_seeds)}").randbytes(size)})


def some_image(platform: str = "linux/amd64", *, docker: bool = False, layers: int = 2) -> Artifact:
    return artifacts.image([some_layer() for _ in range(layers)], platform, docker=docker)


def some_index(*, docker: bool = False) -> Artifact:
    return artifacts.index([some_image(platform, docker=docker) for platform in content.PLATFORMS], docker=docker)


def nested_index() -> Artifact:
    return artifacts.index([some_index(), some_image()])


def some_chart() -> Artifact:
    return artifacts.chart("web", f"1.0.{next(_seeds)}")


def other(*, empty_config: bool = False, **more: object) -> Artifact:
    """An artifact that is neither image nor chart: told by its config, or by its artifact type alone."""
    config = Blob(b"{}" if empty_config else b'{"model": "resnet"}')
    config_type = artifacts.OCI_EMPTY if empty_config else "application/vnd.example.model.config.v1+json"
    payload = some_layer()
    body = {
        "schemaVersion": 2,
        "mediaType": artifacts.OCI_MANIFEST,
        **({"artifactType": "application/vnd.example.model"} if empty_config else {}),
        "config": config.descriptor(config_type),
        "layers": [payload.descriptor("application/vnd.example.model.weights")],
        **more,
    }
    return Artifact(json.dumps(body, indent=1).encode(), artifacts.OCI_MANIFEST, (config, payload))


def lacking(url: str, repository: str, artifact: Artifact) -> list[str]:
    """What a registry does not hold of an artifact, asked digest by digest: judged without the engine's own client."""
    place = f"{url}/v2/{repository}"
    accept = {"Accept": ", ".join(sorted({artifact.media_type, artifacts.OCI_INDEX, artifacts.OCI_MANIFEST}))}
    found = requests.get(f"{place}/manifests/{artifact.digest}", headers=accept, timeout=10).content
    missing = [] if found == artifact.body else [artifact.digest]
    for blob in artifact.blobs:
        if requests.get(f"{place}/blobs/{blob.digest}", timeout=10).content != blob.data:
            missing.append(blob.digest)
    return missing + [digest for child in artifact.children for digest in lacking(url, repository, child)]


def made(
    document: dict[str, Any] | bytes,
    *blobs: Blob,
    children: Sequence[Artifact] = (),
    media_type: str = artifacts.OCI_MANIFEST,
    **about: object,
) -> Artifact:
    """An artifact from its manifest, as it is."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Artifact(body, media_type, blobs, tuple(children), about)


def all_digests(artifact: Artifact) -> list[str]:
    """The digests (hex) of all that must arrive: manifests and blobs, each once."""
    found = {artifact.digest, *(blob.digest for blob in artifact.blobs)}
    for child in artifact.children:
        found |= {f"sha256:{digest}" for digest in all_digests(child)}
    return sorted(digest.removeprefix("sha256:") for digest in found)
