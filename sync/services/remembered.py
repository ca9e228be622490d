"""What an instance said a moment ago, for pages that answer while somebody types. No credential is kept with it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import time
from typing import cast

from django.core.cache import cache

from sync.models import Instance, SyncTask
from sync.oci.client import Client
from sync.oci.list_api import Bookmark
from sync.oci.manifest import Descriptor, Manifest
from sync.registries import Registry
from sync.services import pulls
from sync.services.connect import hasty_endpoint, reached_by, registry_at
from sync.services.volume import Contents

# A listing of the source is good for a while and says its age; the target changes with every run.
KEPT_SECONDS = {"source": 600, "target": 60}
# When the instance has told of pushes since, or a task writes to it, an answer is good for no longer than this.
PUSHED_SECONDS = 10
# What wrote to a target since is among so many tasks.
NEWEST_TASKS = 200
# What would be larger is not kept: it is asked for again.
MOST_ANSWERS = 50_000
# What a digest holds never changes. Of more than so many manifests the first ones are forgotten.
CONTENTS_SECONDS = 24 * 3600
MOST_CONTENTS = 2000


@dataclass
class Known:
    """The answers of one instance, none older than `at` (seconds since the epoch)."""

    at: float = field(default_factory=time)
    catalog: tuple[str, ...] | None = None
    # By namespace, where they do not come from the catalog.
    repositories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    heads: dict[tuple[str, str], Descriptor | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        names = sum(map(len, self.repositories.values())) + len(self.catalog or ())
        return names + len(self.tags) + len(self.heads)


class RememberingClient(Client):
    """A client that asks nothing twice. Failures are not remembered."""

    known: Known
    contents: dict[str, Contents]
    lock: threading.Lock
    turns: dict[str, threading.Lock]

    def catalog(self, after: Bookmark | None = None) -> Iterator[str]:
        if after:
            yield from super().catalog(after)
        elif self.known.catalog is None:
            names = []
            for name in super().catalog():
                names.append(name)
                yield name
            with self.lock:
                self.known.catalog = tuple(names)
        else:
            yield from self.known.catalog

    def tags(self, repository: str, after: Bookmark | None = None) -> Iterator[str]:
        if after:
            yield from super().tags(repository, after)
            return
        if repository not in self.known.tags:
            names = []
            for name in super().tags(repository):
                names.append(name)
                yield name
            with self.lock:
                self.known.tags[repository] = tuple(names)
        else:
            yield from self.known.tags[repository]

    def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        key = (repository, reference)
        if key not in self.known.heads:
            found = super().head_manifest(repository, reference)
            with self.lock:
                self.known.heads[key] = found
        return self.known.heads[key]

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Remembered is what it holds."""
        manifest = super().get_manifest(repository, reference)
        with self.lock:
            self.contents[manifest.digest] = Contents.of(manifest)
        return manifest

    def contents_of(self, repository: str, digest: str) -> Contents:
        """Read once, also when two ask at the same moment: a registry may count pulls. Raises OciError."""
        with self.lock:
            turn = self.turns.setdefault(digest, threading.Lock())
        with turn:
            if digest not in self.contents:
                self.get_manifest(repository, digest)
        return self.contents[digest]


@dataclass(frozen=True)
class Side:
    """One instance as one look sees it."""

    instance: Instance
    registry: Registry
    client: RememberingClient
    key: str
    seconds: int
    contents_before: int

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        """As the registry has them, asked once: kinds with an API of their own do not take them from the catalog."""
        known = self.client.known
        if after or known.catalog is not None:
            yield from self.registry.repositories(namespace, after)
        elif namespace in known.repositories:
            yield from known.repositories[namespace]
        else:
            names = []
            for name in self.registry.repositories(namespace):
                names.append(name)
                yield name
            if known.catalog is None:
                with self.client.lock:
                    known.repositories[namespace] = tuple(names)

    def keep(self) -> None:
        """For the next look."""
        pulls.note(self.instance, self.registry)
        with self.client.lock:
            known, contents = self.client.known, self.client.contents
            if known.size <= MOST_ANSWERS:
                cache.set(self.key, known, max(1, known.at + self.seconds - time()))
            if len(contents) > self.contents_before:
                cache.set(_contents_key(self.key), dict(list(contents.items())[-MOST_CONTENTS:]), CONTENTS_SECONDS)


def _contents_key(key: str) -> str:
    return f"contents:{key}"


def _outdated_until(instance: Instance, side: str) -> float:
    """Answers of before (seconds since the epoch) may be wrong by now."""
    some = time() - PUSHED_SECONDS
    told = min(instance.notified_at.timestamp(), some) if instance.notified_at else 0.0
    if side == "source":
        return told
    tasks = SyncTask.objects.order_by("-pk").values_list("rule__target", "started_at", "finished_at")[:NEWEST_TASKS]
    wrote = [end.timestamp() if end else some for target, begin, end in tasks if target == instance.pk and begin]
    return max([told, *wrote])


def open_side(
    instance: Instance, side: str, cancelled: Callable[[], bool], seconds: float, connections: int, *, refresh: bool
) -> Side:
    """`seconds`: how long one answer may take. Raises CredentialKeyMissing."""
    key = f"known:{side}:{instance.pk}:{reached_by(instance)}"
    endpoint = hasty_endpoint(instance, seconds, connections=connections)
    registry = registry_at(
        instance, endpoint, side=side, cancelled=cancelled, attempts=1, client_mixin=RememberingClient
    )
    client = cast(RememberingClient, registry.client)
    known: Known | None = None if refresh else cache.get(key)
    client.known = known if known and known.at > _outdated_until(instance, side) else Known()
    client.contents = cache.get(_contents_key(key)) or {}
    client.lock, client.turns = threading.Lock(), {}
    return Side(instance, registry, client, key, KEPT_SECONDS[side], len(client.contents))
