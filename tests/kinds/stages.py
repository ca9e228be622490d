"""One registry of each kind with content of the tests' choice, for the contract that all kinds keep."""

from contextlib import AbstractContextManager
from itertools import count
from types import TracebackType
from typing import Protocol, Self

from demo import artifacts
from demo.artifacts import Artifact
from sync.oci.places import Endpoint
from sync.registries import Registry, open_registry
from tests.replication.support import push

LIST_NAMESPACES, CREATE_NAMESPACES = "list namespaces", "create namespaces"
LIST_REPOSITORIES, LIST_DIGESTS = "list repositories", "list digests"
DELETE_TAGS, EXPLAIN = "delete tags", "explain"
CAPABILITIES = (LIST_NAMESPACES, CREATE_NAMESPACES, LIST_REPOSITORIES, LIST_DIGESTS, DELETE_TAGS, EXPLAIN)
NOTHING: frozenset[str] = frozenset()


class Stage(AbstractContextManager["Stage"], Protocol):
    """`can`: out of CAPABILITIES. `for_real`: what of that has tests against the thing itself, not its documents."""

    title: str
    can: frozenset[str]
    for_real: frozenset[str]

    def open(self, side: str = "") -> Registry: ...

    def add(self, repository: str, tag: str, text: str) -> str:
        """Puts something small there whose content depends on the text; its digest, as the kind tells it."""
        ...

    def is_private(self, namespace: str) -> bool: ...

    def requests(self) -> int:
        """So many it has answered."""
        ...


def image_of(text: str) -> Artifact:
    return artifacts.image([artifacts.layer({"text": text.encode()})])


class OnRegistry:
    """A kind that speaks the OCI API and nothing else, over a real registry."""

    def __init__(self, kind: str, title: str, can: frozenset[str], for_real: frozenset[str], url: str) -> None:
        self.kind, self.title, self.can, self.for_real, self.url = kind, title, can, for_real, url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The registry is the session's."""

    def open(self, side: str = "") -> Registry:
        return open_registry(self.kind, Endpoint(self.url, name=self.title), side=side)

    def add(self, repository: str, tag: str, text: str) -> str:
        return push(self.url, repository, tag, image_of(text)).digest

    def is_private(self, namespace: str) -> bool:
        """There is nothing like it."""
        return False

    def requests(self) -> int:
        """Not counted."""
        return 0


PLAIN = frozenset({LIST_NAMESPACES, LIST_REPOSITORIES})
PRESETS = {
    "dockerhub": ("Docker Hub", frozenset({EXPLAIN})),
    "github": ("GitHub Container Registry", frozenset({EXPLAIN})),
    "gitlab": ("GitLab container registry", PLAIN | {EXPLAIN}),
    "ecr": ("Amazon ECR", PLAIN | {EXPLAIN}),
    "acr": ("Azure Container Registry", PLAIN | {EXPLAIN}),
    "google": ("Google Artifact Registry", PLAIN | {EXPLAIN}),
    "quay": ("Quay", PLAIN | {EXPLAIN}),
}
_names = count(1)


def fresh_namespace() -> str:
    return f"kind-{next(_names)}"
