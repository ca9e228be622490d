"""A registry that speaks the OCI distribution API and nothing else."""

from collections.abc import Callable, Iterator

from sync.oci.client import Client
from sync.oci.errors import Rejected
from sync.oci.list_api import Bookmark
from sync.oci.reference import in_namespace, namespaces_of
from sync.registries.base import Management, OnlyByDigest, Registry

# How registries that know digests only answer to the deletion of a tag; distribution 2.8 says 400.
NO_SINGLE_TAGS = (400, 405, 501)


class PlainRegistry(Registry):
    receiver = "distribution"

    def __init__(self, client: Client, management: Management | None = None) -> None:
        super().__init__(client, management)
        self._deletes_tags = True

    def namespaces(self) -> dict[str, int]:
        return namespaces_of(self.client.catalog())

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        return (name for name in self.client.catalog(after) if in_namespace(name, namespace) is not None)

    def ensure_namespace(self, namespace: str) -> None:
        """Nothing to do: the first push into a namespace makes it."""

    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        """OCI distribution 1.1, "Deleting tags": registries may not know it."""
        if self._deletes_tags:
            try:
                self.client.delete_manifest(repository, tag, check)
                return
            except Rejected as refusal:
                if refusal.status not in NO_SINGLE_TAGS:
                    raise
                self._deletes_tags = False
        raise OnlyByDigest
