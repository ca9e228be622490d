"""TCR for the tests that all kinds of registry share."""

from contextlib import ExitStack
from typing import Any, Self

from demo.registries import RegistryServer
from sync.oci.client import Client, Credential, Endpoint
from sync.registries import Management, Registry, open_registry
from tests import parts
from tests.fakes.tcr import REGION, REGISTRY_ID, SECRET_ID, SECRET_KEY, FakeTcr
from tests.oci.artifacts import push_image

MANAGEMENT = {"key_id": SECRET_ID, "key": SECRET_KEY, "region": REGION, "registry_id": REGISTRY_ID}


class TcrStage:
    """behind: the address of a real registry; blank for one of its own.

    A tag whose digest others have is left alone, so it does not count as a kind that deletes tags.
    """

    def __init__(self, behind: str = "") -> None:
        self.title = "Tencent Container Registry, Enterprise"
        self.for_real: frozenset[str] = frozenset()
        self.can = frozenset({"list namespaces", "create namespaces", "list repositories", "list digests", "explain"})
        self._behind = behind

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            behind = self._behind or stack.enter_context(RegistryServer(parts.require("registry"))).url
            self.fake = stack.enter_context(FakeTcr(behind))
            self._pushing = Client(Endpoint(behind))
            stack.callback(self._pushing.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, side: str = "", **options: Any) -> Registry:
        """management, endpoint: fields that are to be others; no management for an instance without a SecretId."""
        changed = options.pop("management", {})
        management = None if changed is None else Management(**{**MANAGEMENT, "address": self.fake.api, **changed})
        endpoint = Endpoint(options.pop("url", self.fake.url), name="guangzhou", **options.pop("endpoint", {}))
        registry = open_registry("tcr", endpoint, Credential("robot", "token"), management, side=side, **options)
        self._stack.callback(registry.client.close)
        return registry

    def add(self, repository: str, tag: str, text: str) -> str:
        """By hand: a namespace that is missing is made, a public one."""
        self.fake.namespaces.setdefault(repository.partition("/")[0], True)
        return push_image(self._pushing, repository, tag, text.encode()).digest

    def is_private(self, namespace: str) -> bool:
        return self.fake.namespaces[namespace] is False

    def requests(self) -> int:
        return len(self.fake.management.requests) + len(self.fake.data.requests)
