"""Tencent Container Registry, Enterprise: registry data by the OCI API, namespaces and lists by its management API.

What follows Tencent's documents alone: docs/registries.md.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sync.oci.client import Client
from sync.oci.errors import (
    Cancelled,
    Denied,
    NotFound,
    OciError,
    RegistryAnswer,
    Unauthorized,
    Unreachable,
    UntrustedCertificate,
)
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP, in_namespace, is_digest, namespaces_of
from sync.registries.base import Management, OnlyByDigest, Resource
from sync.registries.plain import PlainRegistry
from sync.registries.tcr_api import PAGE_SIZE, ManagementApi, Pages
from sync.registries.tcr_errors import CONFLICTS, NO_NAMESPACE

# To be told the number alone.
ONE = {"Offset": 1, "Limit": 1}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? ?(Z|[+-]\d\d:?\d\d)?")


class Tcr(PlainRegistry):
    """Without a SecretId it is a plain registry, whose namespaces a person makes."""

    address = "https://name.tencentcloudcr.com"
    hosts = r"[a-z0-9.-]+\.tencentcloudcr\.com"
    lists_digests = True
    receiver = "tcr"
    advice = (
        "User name and password are those of a long-term access token or of a service account of the instance. To make "
        "namespaces that are missing, and for lists, give SecretId and SecretKey of a sub-account as well, with the "
        "region and the registry ID (tcr-xxxxxxxx). In CAM it needs tcr:DescribeNamespaces, tcr:DescribeRepositories "
        "and tcr:DescribeImages, for a target tcr:CreateNamespace, and tcr:DeleteImage where rules delete tags."
    )

    def __init__(self, client: Client, management: Management | None = None) -> None:
        super().__init__(client, management)
        self._api = ManagementApi(client, self.management) if self.management.key_id else None
        self._lists_images = True

    def namespaces(self) -> dict[str, int]:
        if self._api is None:
            return super().namespaces()
        doing = "list the namespaces"
        listed = Pages(self._api, doing, "DescribeNamespaces", "NamespaceList")
        names = [str(one["Name"]) for one in listed]
        return dict(sorted((dict.fromkeys(names, 0) | self._counts(self._api, names)).items()))

    def _counts(self, api: ManagementApi, names: list[str]) -> dict[str, int]:
        """Repositories by namespace, in as few requests as there can be: all of them listed, or counted one by one."""
        doing, action = "count the repositories", "DescribeRepositories"
        total = _total(api.call(doing, action, ONE))
        if total <= PAGE_SIZE * len(names):
            return namespaces_of(_name(one) for one in Pages(api, doing, action, "RepositoryList"))
        return {name: _total(api.call(doing, action, _first(name) | ONE)) for name in names}

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        if self._api is None:
            return super().repositories(namespace, after)
        return self._repositories(self._api, namespace, after or Bookmark())

    def _repositories(self, api: ManagementApi, namespace: str, after: Bookmark) -> Iterator[str]:
        """All of the namespace, sorted, as the API lists from the beginning only."""
        if namespace == NAMESPACE_TOP:
            return  # TCR keeps no repository outside a namespace
        first, doing = _first(namespace), f"list the repositories of {namespace}"
        try:
            names = {_name(one) for one in Pages(api, doing, "DescribeRepositories", "RepositoryList", first)}
        except NotFound as error:
            if error.code != NO_NAMESPACE:
                raise
            return
        for name in sorted(one for one in names if in_namespace(one, namespace) is not None and one > after.last):
            after.first, after.last = after.first or name, name
            yield name

    def ensure_namespace(self, namespace: str) -> None:
        """Without a SecretId it is left to the registry to take the push or not."""
        if self._api is None or namespace == NAMESPACE_TOP or self._is_there(self._api, namespace):
            return
        first = _first(namespace)
        doing = f"create the namespace {first['NamespaceName']}"
        try:
            self._api.call(doing, "CreateNamespace", first | {"IsPublic": False})
        except Cancelled:
            raise
        except OciError as error:
            # Another task may have been faster, or the answer to a request that did its work was lost.
            if error.code not in CONFLICTS and not self._is_there(self._api, namespace):
                raise

    def _is_there(self, api: ManagementApi, namespace: str) -> bool:
        """Whether the API says so: who may not look can still be allowed to create."""
        first = _first(namespace)
        name = first["NamespaceName"]
        with suppress(Denied, NotFound):
            listed = Pages(api, f"look for the namespace {name}", "DescribeNamespaces", "NamespaceList", first)
            return any(one["Name"] == name for one in listed)
        return False

    def resources(self, repository: str) -> Iterator[Resource]:
        listed = self._listed(repository)
        return super().resources(repository) if listed is None else iter(listed)

    def digests(self, repository: str) -> dict[str, str] | None:
        listed = self._listed(repository)
        return None if listed is None else {one.tag: one.digest for one in listed}

    def _listed(self, repository: str) -> list[Resource] | None:
        """The tags as the API lists them; None where it does not, or not surely all with their digests.

        A repository that it does not know is left to the OCI API, whose word for that is understood elsewhere.
        """
        if self._api is None or not self._lists_images or "/" not in repository:
            return None
        doing = f"list the tags of {repository}"
        pages = Pages(self._api, doing, "DescribeImages", "ImageInfoList", _place(repository))
        try:
            listed = [_resource(repository, image) for image in pages]
        except (Denied, Unauthorized):
            self._lists_images = False
            return None
        except NotFound as error:
            # Without a sub-code it is the instance that is not found: so it stays.
            self._lists_images = "." in error.code
            return None
        listed = [one for one in listed if one.tag]
        return listed if pages.whole and all(is_digest(one.digest) for one in listed) else None

    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        """DeleteImage names a tag, but no document says what becomes of others with its digest: not if there are."""
        if self._api is None or "/" not in repository:
            super().delete_tag(repository, tag, check)
            return
        if self._is_shared(self._api, repository, tag):
            check()
            raise OnlyByDigest
        doing = f"delete {repository}:{tag}"
        self._api.call(doing, "DeleteImage", _place(repository) | {"ImageVersion": tag}, check)

    def _is_shared(self, api: ManagementApi, repository: str, tag: str) -> bool:
        """Whether another tag has the same digest, or that cannot be known."""
        held = self.client.head_manifest(repository, tag)
        if held is None:
            return False
        doing, wanted = f"look for tags of {held.digest}", _place(repository) | {"Digest": held.digest}
        try:
            images = Pages(api, doing, "DescribeImages", "ImageInfoList", wanted)
            return any(one.get("Digest") == held.digest and one.get("ImageVersion") != tag for one in images)
        except (Denied, NotFound):
            return True

    def explain(self, error: OciError) -> None:
        error.hint = self._words(error) or error.hint

    def _words(self, error: OciError) -> str:
        words = f"{error.code} {error.message}".lower()
        if isinstance(error, Unreachable) and not isinstance(error, UntrustedCertificate):
            return (
                "TCR does not answer machines that its network access control leaves out: compare the address, then "
                "whether public access is on and its allow list has this machine (or the VPC is linked)."
            )
        if not isinstance(error, RegistryAnswer) or error.retryable:
            return ""
        if "immutable" in words:
            return "A tag immutability rule of the TCR namespace keeps this tag as it is."
        if "quota" in words:
            return "A quota of the TCR instance is used up: delete what is not needed, or have it raised."
        if isinstance(error, Unauthorized):
            return (
                "TCR refuses the credential: the access token or service account may have expired or be disabled, "
                f"see the TCR console. {self._missing(error)}"
            )
        if isinstance(error, Denied):
            return (
                "TCR refuses: the service account may lack the right to this namespace, or the network access "
                f"control of the instance leaves this machine out. {self._missing(error)}"
            )
        return self._missing(error) if isinstance(error, NotFound) else ""

    def _missing(self, error: OciError) -> str:
        if self._api is not None or error.side == "source":
            return "Compare the name of the namespace."
        return (
            "A push makes no namespace: if it is missing, create it in the TCR console, or give SecretId and SecretKey "
            "to this instance."
        )


def _total(answer: dict[str, Any]) -> int:
    return int(answer.get("TotalCount") or 0)


def _first(namespace: str) -> dict[str, object]:
    """What TCR calls a namespace is the first part; what follows belongs to its names of repositories."""
    return {"NamespaceName": namespace.partition("/")[0]}


def _place(repository: str) -> dict[str, object]:
    namespace, _, name = repository.partition("/")
    return {"NamespaceName": namespace, "RepositoryName": name}


def _name(repository: dict[str, Any]) -> str:
    """The whole name: it is listed with its namespace, as documented, or without."""
    namespace, name = str(repository["Namespace"]), str(repository["Name"])
    return name if in_namespace(name, namespace) is not None else f"{namespace}/{name}"


def _resource(repository: str, image: dict[str, Any]) -> Resource:
    tag, digest = str(image.get("ImageVersion") or ""), str(image.get("Digest") or "")
    return Resource(repository, tag, digest, _moment(str(image.get("UpdateTime") or "")))


def _moment(text: str) -> datetime | None:
    """As Go prints times, or by ISO 8601; UTC where no zone is told, None for anything else."""
    found = _TIME.match(text)
    if found is None:
        return None
    day, clock, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone or 'Z'}")
    except ValueError:
        return None
    return moment.astimezone(UTC)
