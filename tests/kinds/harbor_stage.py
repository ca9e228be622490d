"""Harbor for what all kinds of registry promise alike."""

from types import TracebackType
from typing import Any, Self

from demo import artifacts
from demo.artifacts import Artifact
from sync.oci.client import Client, Credential, Endpoint
from sync.oci.manifest import Descriptor, Manifest
from sync.registries import Registry, open_registry
from tests.fakes.harbor import Account, FakeHarbor
from tests.fakes.registry import FakeRegistry

ROBOT, SECRET = "robot$console", "a-secret"


def text_image(text: str) -> Artifact:
    return artifacts.image([artifacts.layer({"text": text.encode()})])


class HarborStage:
    title: str = "harbor"
    can: frozenset[str] = frozenset(
        {"list namespaces", "create namespaces", "list repositories", "list digests", "delete tags", "explain"}
    )

    for_real: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.fake = FakeHarbor({ROBOT: Account(SECRET)})
        self._opened: list[Client] = []

    def __enter__(self) -> Self:
        self.fake.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for client in self._opened:
            client.close()
        self.fake.__exit__(kind, error, trace)

    def open(self, side: str = "") -> Registry:
        endpoint = Endpoint(self.fake.url, name=side or "harbor")
        registry = open_registry("harbor", endpoint, Credential(ROBOT, SECRET), side=side)
        self._opened.append(registry.client)
        return registry

    def add(self, repository: str, tag: str, text: str) -> str:
        """Pushed like any image. A project that is missing is made beforehand, as somebody would in its pages."""
        self.fake.make(repository.partition("/")[0])
        image, client = text_image(text), self.open().client
        for blob in image.blobs:
            client.upload(repository, Descriptor("application/octet-stream", blob.digest, len(blob.data)), [blob.data])
        return client.put_manifest(repository, tag, Manifest.parse(image.body, image.media_type)).digest

    def hold(self, repository: str, tag: str, text: str) -> str:
        """The same without a request."""
        self.fake.make(repository.partition("/")[0])
        image = text_image(text)
        self.fake.held[repository].blobs |= {blob.digest: blob.data for blob in image.blobs}
        return self.fake.put(repository, tag, image.media_type, image.body)

    def is_private(self, namespace: str) -> bool:
        return not self.fake.projects[namespace.partition("/")[0]].public

    def requests(self) -> int:
        return len(self.fake.requests)


def opened(fake: FakeRegistry, name: str = ROBOT, secret: str = SECRET, **options: Any) -> Registry:
    credential = Credential(name, secret) if name else None
    return open_registry("harbor", Endpoint(fake.url, name="harbor"), credential, **options)


def fill(stage: HarborStage, repositories: int, tags: int, project: str = "prod") -> list[str]:
    names = [f"{project}/team/app-{number:03}" for number in range(repositories)]
    for name in names:
        for number in range(tags):
            stage.hold(name, f"v{number}", f"{name} {number}")
    return names
