"""A registry that speaks the OCI distribution API and nothing else."""

from collections.abc import Iterator

from sync.oci.list_api import Bookmark
from sync.oci.reference import in_namespace, namespaces_of
from sync.registries.base import Registry


class PlainRegistry(Registry):
    def namespaces(self) -> dict[str, int]:
        return namespaces_of(self.client.catalog())

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        return (name for name in self.client.catalog(after) if in_namespace(name, namespace) is not None)

    def ensure_namespace(self, namespace: str) -> None:
        """Nothing to do: the first push into a namespace makes it."""
