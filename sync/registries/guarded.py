"""What a library asks by `requests`, kept to the addresses that may be reached (sync.oci.addresses)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from requests.adapters import HTTPAdapter

from sync.oci import addresses
from sync.oci.addresses import Policy
from sync.oci.http1 import tcp_nodelay


class Guarded(HTTPAdapter):
    """To be mounted for http:// and https://: each connection, wherever a redirect leads, is to an address that was
    judged. guard_proxies: whether the proxies are the instance's own, not those of the environment.

    Requests raise addresses.Refused.
    """

    def __init__(self, policy: Policy, *, guard_proxies: bool) -> None:
        self._policy, self._guard_proxies = policy, guard_proxies
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._guard(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        if self._guard_proxies:
            self._guard(manager)
        return manager

    def _guard(self, manager: Any) -> None:
        pools: Mapping[str, Any] = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {scheme: _guarded(pool, self._policy) for scheme, pool in pools.items()}


def _guarded(pool: Any, policy: Policy) -> Any:
    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            """In place of the library's own, which would look the name up by itself."""
            opened = addresses.connect(self._dns_host, self.port, self.timeout, policy)
            tcp_nodelay(opened)
            return opened

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})
