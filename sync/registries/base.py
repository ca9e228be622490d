"""What the OCI distribution API leaves open, as one small interface. One file per kind of registry."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from sync.oci.client import Client
from sync.oci.errors import OciError
from sync.oci.list_api import Bookmark
from sync.registries.listing import Listing
from sync.registries.pulls import PullLimit

# What a registry may hold, by the words of rules as files.
TYPES = ("image", "chart", "other")
# What is to be set up where a registry is to tell of its pushes: a text of the console for each.
RECEIVERS = ("distribution", "harbor", "tcr", "zot", "scripts")


class OnlyByDigest(Exception):
    """This registry deletes no single tags: by digest, with all tags that have it."""


@dataclass(frozen=True)
class Resource:
    """One tag as a list tells it: `digest` is blank and `pushed_at` None where it does not tell them."""

    repository: str
    tag: str
    digest: str = ""
    pushed_at: datetime | None = None


@dataclass(frozen=True)
class Management:
    """What a management API needs that does not live at the registry's own address. `address` is a host name."""

    key_id: str = ""
    key: str = field(default="", repr=False)
    region: str = ""
    registry_id: str = ""
    address: str = ""


class Registry(ABC):
    """A registry of some kind, seen through one client. Safe for many threads.

    client_class: what speaks to it. address, advice: for the form of an instance, an example and what to know of the
    kind. hosts: the host names that tell the kind, an expression; anywhere: it may have others. lists_digests: whether
    `resources` tells digests, so that a quick check needs to ask for no single tag. receiver: out of RECEIVERS, how it
    is set up to tell of pushes; many kinds tell in no form that is understood, and somebody's script has to. listing:
    where the digests of a whole namespace are kept, for who is to look at most of it. types: out of TYPES, what it can
    hold: nothing else comes from it or can go to it. has_catalog: whether it lists its repositories to anybody.
    """

    client_class: ClassVar[type[Client]] = Client
    address: ClassVar[str] = "https://registry.example:5000"
    advice: ClassVar[str] = ""
    hosts: ClassVar[str] = ""
    anywhere: ClassVar[bool] = False
    lists_digests: ClassVar[bool] = False
    receiver: ClassVar[str] = "scripts"
    types: ClassVar[tuple[str, ...]] = TYPES
    has_catalog: ClassVar[bool] = True

    def __init__(self, client: Client, management: Management | None = None) -> None:
        self.client = client
        self.management = management or Management()
        self.listing: Listing | None = None
        client.explain = self.explain

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
        """Makes a namespace that does not exist yet, private where the registry knows the difference.

        Harmless when two do it at the same moment. Raises OciError.
        """

    @abstractmethod
    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        """Deletes one tag and leaves others of its digest. check: called before the request is sent.

        Raises OnlyByDigest, OciError, and what `check` raises.
        """

    def unwritable(self, namespace: str) -> str:
        """Why nothing at all can be written into a namespace, in a sentence; blank where something may be.

        What an account may write is another question. Raises OciError.
        """
        return ""

    def resources(self, repository: str) -> Iterator[Resource]:
        """The tags of a repository, with what else the list tells. Raises OciError."""
        return (Resource(repository, tag) for tag in self.client.tags(repository))

    def digests(self, repository: str) -> dict[str, str] | None:
        """The digests of all tags of a repository as a list tells them, without a question for each.

        None where the kind, or this registry for this account, does not tell them. Raises OciError.
        """
        return None

    def pull_limit(self, *, ask: bool = False) -> PullLimit | None:
        """What it told last of a limit of pulls, if it tells one. ask: asks for it, at no cost. Raises OciError."""
        return None

    def recognize(self) -> bool:
        """Whether the registry seems to be of this kind, by its answers alone. Raises nothing but Cancelled."""
        return False

    def doubt(self) -> str:
        """Why it may not be of this kind, a sentence; blank where nothing speaks against it. Asked once it answers."""
        host = urlsplit(self.client.endpoint.url).hostname or ""
        if self.hosts and not self.anywhere and not re.fullmatch(self.hosts, host):
            return "the host name is another than its addresses have."
        recognizes = type(self).recognize is not Registry.recognize
        return "it does not answer as this kind does." if recognizes and not self.recognize() else ""

    def explain(self, error: OciError) -> None:  # noqa: B027 - most kinds have no words of their own
        """Puts the kind's own words into the hint of an error, where they help."""
