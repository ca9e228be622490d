"""What the OCI distribution API leaves open, as one small interface. One file per kind of registry."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from sync.oci.client import Client
from sync.oci.list_api import Bookmark


class OnlyByDigest(Exception):
    """This registry deletes no single tags: by digest, with all tags that have it."""


class Registry(ABC):
    """A registry of some kind, seen through one client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @abstractmethod
    def namespaces(self) -> dict[str, int]:
        """The namespaces of the registry, sorted, with how many repositories each has.

        Raises OciError when it lists none to us.
        """

    @abstractmethod
    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        """Whole names of the repositories of a namespace; raises OciError when it lists none to us.

        after: where the list is gone on with; it moves along.
        """

    @abstractmethod
    def ensure_namespace(self, namespace: str) -> None:
        """Makes a namespace that does not exist yet, private where the registry knows the difference."""

    @abstractmethod
    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        """Deletes one tag and leaves others of its digest. check: called before the request is sent.

        Raises OnlyByDigest, OciError, and what `check` raises.
        """
