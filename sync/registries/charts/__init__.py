"""A chart repository over HTTP: index.yaml, and ChartMuseum's API as Harbor and TCR spoke it before OCI."""

from collections.abc import Callable, Iterator
from typing import ClassVar, cast

from sync.oci.client import Client
from sync.oci.errors import Cancelled, Denied, NotFound, OciError, ProtocolViolation, Unauthorized
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP
from sync.registries.base import Registry
from sync.registries.charts.writing import NO_API, ChartClient

NAMESPACES_HINT = "Type the namespace: the path below the address at which index.yaml lies."


class ChartRepository(Registry):
    client_class: ClassVar[type[Client]] = ChartClient
    address = "https://charts.example/stable"
    advice = (
        "The address is that of index.yaml, without its name. The namespace “/” is the index there; any other is a "
        "path below with an index of its own, as ChartMuseum's tenants have (for Harbor and TCR the address ends with "
        "/chartrepo, the namespace is the project). A repository is a chart, a tag its version. A target needs "
        "ChartMuseum's API; only charts can be copied there, of up to 20 MiB."
    )

    types = ("chart",)

    @property
    def _charts(self) -> ChartClient:
        return cast(ChartClient, self.client)

    def namespaces(self) -> dict[str, int]:
        try:
            return {NAMESPACE_TOP: sum(1 for _ in self._charts.charts(NAMESPACE_TOP))}
        except NotFound:
            raise OciError(
                "there is no index.yaml at the address itself, and chart repositories list no namespaces",
                side=self.client.side,
                registry=self.client.endpoint.label,
                operation="list the namespaces",
                hint=NAMESPACES_HINT,
            ) from None

    def repositories(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        return self._charts.charts(namespace, after)

    def ensure_namespace(self, namespace: str) -> None:
        """ChartMuseum makes a tenant with its first chart; the projects of Harbor and TCR must exist."""

    def unwritable(self, namespace: str) -> str:
        """A plain web server has an index, and no ChartMuseum to take uploads."""
        try:
            self._charts.try_upload(namespace)
        except OciError as problem:
            if problem.status in NO_API:
                return f"Nothing takes uploads at this address (HTTP {problem.status}): it can only be a source."
            raise
        return ""

    def delete_tag(self, repository: str, tag: str, check: Callable[[], None]) -> None:
        self.client.delete_manifest(repository, tag, check)

    def recognize(self) -> bool:
        try:
            return self._charts.looks_right()
        except Cancelled:
            raise
        except OciError:
            return False

    def explain(self, error: OciError) -> None:
        if isinstance(error, ProtocolViolation) and error.hint == ProtocolViolation.hint:
            error.hint = "Check that index.yaml lies right below the address, and in each namespace below that."
        if isinstance(error, Denied | Unauthorized) and error.status in (401, 403):
            error.hint = (
                "The chart repository refuses: compare user name and password, which it must take by HTTP Basic, "
                "and whether they may read here, or write to a target."
            )
