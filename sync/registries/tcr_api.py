"""TCR's management API, by Tencent's SDK: one call at a time, tried again where that may help, and its errors as ours.

The SDK is loaded at the first call: it takes half a second, which only those pay who have such an instance.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sync.oci import addresses
from sync.oci.addresses import Policy
from sync.oci.client import Client
from sync.oci.connection import not_allowed
from sync.oci.errors import AddressRefused, OciError, PlainHttpRefused, ProtocolViolation, Unauthorized
from sync.oci.pool import POLL_INTERVAL
from sync.oci.reference import InvalidReference, is_loopback, normalize_address
from sync.oci.transport import always
from sync.registries.base import Management
from sync.registries.tcr_errors import ApiUnreachable, error_of

log = logging.getLogger(__name__)

ADDRESS = "tcr.tencentcloudapi.com"
# The largest that is documented (DescribeRepositories).
PAGE_SIZE = 100
# The SDK keeps ten connections. With the limits of the API, 100 requests a second, more would gain nothing.
CALLS_AT_ONCE = 8

Parameters = Mapping[str, object]


class ManagementApi:
    """Safe for many threads. client: whose patience, proxy and name it has; nothing is sent by it."""

    def __init__(self, client: Client, management: Management) -> None:
        self._client = client
        self._management = management
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(min(CALLS_AT_ONCE, client.endpoint.max_connections))
        self._sdk: Any = None

    def call(
        self, operation: str, action: str, parameters: Parameters, check: Callable[[], None] = always
    ) -> dict[str, Any]:
        """What the API responds. check: called right before each time that the request is sent.

        Raises OciError, and what `check` raises.
        """
        attempt = 1
        while True:
            problem: OciError
            with self._turn():
                check()
                try:
                    return self._send(action, parameters)
                except OciError as failed:
                    problem = failed
            self._client.check_cancelled()
            if not problem.retryable or attempt >= self._client.attempts:
                raise problem.located(self._client.side, self._client.endpoint.label, operation)
            log.info("%s: %s; attempt %d", action, problem.problem, attempt)
            self._client.pause(attempt)
            attempt += 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Raises Cancelled."""
        self._client.check_cancelled()
        while not self._room.acquire(timeout=POLL_INTERVAL):
            self._client.check_cancelled()
        try:
            yield
        finally:
            self._room.release()

    def _send(self, action: str, parameters: Parameters) -> dict[str, Any]:
        """One attempt. Raises OciError."""
        from requests import RequestException
        from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

        sdk, document = self._opened(), {"RegistryId": self._management.registry_id, **parameters}
        try:
            response = sdk.call_json(action, document)["Response"]
            # The SDK itself looks for errors under some content types only.
            refusal = response.get("Error")
            code, message = (refusal["Code"], refusal["Message"]) if refusal else ("", "")
        except TencentCloudSDKException as refused:
            if isinstance(refused.__context__, addresses.Refused):
                raise not_allowed(refused.__context__, AddressRefused) from None
            code, message = str(refused.get_code()), _text(refused.get_message())
        except RequestException:
            raise ApiUnreachable("the answer of the TCR API broke off") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ProtocolViolation("what answers is not the TCR API", hint="Compare the API address.") from None
        if code:
            raise error_of(code, self._without_key(message), action)
        return dict(response)

    def _opened(self) -> Any:
        """Raises OciError."""
        with self._lock:
            if self._sdk is None:
                self._sdk = self._open()
            return self._sdk

    def _open(self) -> Any:
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from tencentcloud.tcr.v20190924.tcr_client import TcrClient

        from sync.registries.guarded import Guarded

        wanted, endpoint = self._management, self._client.endpoint
        _check(wanted)
        scheme, host = _place(wanted.address or ADDRESS)
        http = HttpProfile(
            protocol=scheme,
            endpoint=host,
            reqTimeout=(endpoint.connect_timeout, endpoint.read_timeout),
            proxy=endpoint.proxy or None,
        )
        profile = ClientProfile(httpProfile=http, language="en-US")
        sdk = TcrClient(Credential(wanted.key_id, wanted.key), wanted.region, profile)
        # A ~/.netrc would replace the signature. Proxies of the environment are found by the SDK itself.
        session = sdk.request.conn._session
        session.trust_env = False
        policy = Policy(private=endpoint.private_addresses)
        if sdk.request.conn.proxy and (why := policy.refusal_behind_proxy(urlsplit(f"//{host}").hostname or "")):
            raise not_allowed(addresses.Refused(host, host, why), AddressRefused)
        for prefix in ("http://", "https://"):
            session.mount(prefix, Guarded(policy, guard_proxies=bool(endpoint.proxy)))
        return sdk

    def _without_key(self, message: str) -> str:
        return message.replace(self._management.key, "…") if self._management.key else message


class Pages:
    """All entries of a list, page by page. whole: afterwards, whether so many came as the API counts.

    Pages are counted from 1. That is documented for all lists but that of namespaces, so when some are missing in the
    end, page 0 is asked for, too.
    """

    def __init__(
        self, api: ManagementApi, operation: str, action: str, key: str, parameters: Parameters | None = None
    ) -> None:
        self._call = partial(api.call, operation, action)
        self._parameters = {**(parameters or {}), "Limit": PAGE_SIZE}
        self._key = key
        self._seen: set[tuple[object, ...]] = set()
        self.total = 0

    @property
    def whole(self) -> bool:
        return len(self._seen) >= self.total

    def __iter__(self) -> Iterator[dict[str, Any]]:
        page = 1
        while fresh := self._read(page):
            yield from fresh
            if self.whole:
                return
            page += 1
        if not self.whole:
            yield from self._read(0)

    def _read(self, page: int) -> list[dict[str, Any]]:
        """Those that did not come before: what is pushed meanwhile moves others to the next page."""
        answer = self._call({**self._parameters, "Offset": page})
        self.total = int(answer.get("TotalCount") or 0)
        fresh = {_mark(entry): entry for entry in answer.get(self._key) or []}
        fresh = {mark: entry for mark, entry in fresh.items() if mark not in self._seen}
        self._seen.update(fresh)
        return list(fresh.values())


def _mark(entry: dict[str, Any]) -> tuple[object, ...]:
    """What tells it from all others of its list: namespace, repository or tag; of what has no tag the digest."""
    return entry.get("Namespace"), entry.get("Name"), entry.get("ImageVersion") or entry.get("Digest")


def _check(wanted: Management) -> None:
    """Raises OciError for what nothing can be asked with."""
    if not (wanted.region and wanted.registry_id):
        raise OciError(
            "the region or the registry ID is missing, which the TCR API asks for",
            hint="Give this instance both; the TCR console shows the ID with the instance: tcr-xxxxxxxx.",
        )
    if not wanted.key or wanted.key != wanted.key.strip() or wanted.key_id != wanted.key_id.strip():
        raise Unauthorized(
            "the SecretKey is missing, or stands between spaces",
            hint="Give this instance SecretId and SecretKey as CAM shows them.",
        )


def _place(address: str) -> tuple[str, str]:
    """Scheme and host. Raises OciError."""
    try:
        url = normalize_address(address)
    except InvalidReference as error:
        raise OciError(f"the API address is none: {error}", hint=f"Leave it blank for {ADDRESS}.") from None
    if url.startswith("http:") and not is_loopback(url):
        raise PlainHttpRefused("the TCR API would be spoken to over plain http", hint="Use https:// as API address.")
    scheme, _, host = url.partition("://")
    return scheme, host


def _text(message: object) -> str:
    """The SDK gives the bytes of an answer that is none of the API."""
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message or "")
