"""Requests to a chart repository: where they go, who gets the credential, and what a refusal says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from sync.oci.client import Client
from sync.oci.errors import OciError, ProtocolViolation, ResponseTooLarge, Unreachable, hide, scrub
from sync.oci.places import resolve
from sync.oci.response import Response
from sync.oci.transport import always

READ_AT_ONCE = 64 * 1024
GZIP = ("gzip", "x-gzip")
Result = TypeVar("Result")
OCI_HINT = "Make that registry the source: it is an OCI registry, the index only leads there."


class Asking(Client):
    """The credential goes to the repository's own host, from the first request on; other hosts never see it."""

    def _index_url(self, namespace: str) -> str:
        below = f"/{quote(namespace)}" if namespace else ""
        return f"{self.endpoint.url.rstrip('/')}{below}/index.yaml"

    def _api_path(self, namespace: str, *more: str) -> str:
        """ChartMuseum's API lies at the root of the host, before the path of the repository."""
        home = self._transport.endpoint.url.split("/", 3)[3:]
        parts = ["api", *(one.strip("/") for one in home), quote(namespace), "charts"]
        return "/" + "/".join([part for part in parts if part] + [quote(one, safe="") for one in more])

    def _package_url(self, namespace: str, told: str) -> str:
        """Raises OciError for an address that is none, or must not be followed."""
        if told.startswith("oci://"):
            raise OciError("the index leads to an OCI registry for this chart", hint=OCI_HINT)
        return resolve(self._index_url(namespace), told)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        ok: Sequence[int] = (200,),
        stream: bool = False,
        with_credential: bool = True,
        check: Callable[[], None] = always,
    ) -> Response:
        at_home = self._transport.is_home(url)
        if not at_home:
            self._transport.check_hop(url)
        sent = {**(headers or {}), **(self._auth.basic() if at_home and with_credential else {})}
        response = self._transport.request(method, url, sent, body, stream=stream, check=check)
        if response.status == 401 and at_home:
            self._auth.challenged = True
        if response.status not in ok:
            raise refusal(response, self._auth.secrets)
        return response

    def _read_body(
        self, url: str, read: Callable[[Response], Result], headers: Mapping[str, str], ok: Sequence[int] = (200,)
    ) -> Result:
        """What `read` makes of the answer's body; asked for again when that breaks off."""
        attempt = 1
        while True:
            response = self._ask("GET", url, headers, ok=ok, stream=True)
            try:
                return read(response)
            except Unreachable:
                self._transport.check_cancelled()
                if attempt >= self._transport.attempts:
                    raise
                self._transport.pause(attempt)
            finally:
                response.close()
            attempt += 1

    def _read_file(self, url: str, limit: int, what: str) -> list[bytes]:
        """What the file may be: as it came and, where the server says that it has compressed it, unpacked.

        Some say so of packages that are compressed by themselves. Raises NotFound, ResponseTooLarge.
        """

        def read(response: Response) -> list[bytes]:
            content = b"".join(_limited(response, limit, what))
            return [content, *_unpacked(content, response, limit)]

        return self._read_body(url, read, {})


class Stream:
    """The body of an answer for a reader of text, unpacked where it says that it is compressed."""

    def __init__(self, response: Response, limit: int, check_cancelled: Callable[[], None]) -> None:
        self._blocks = _limited(response, limit, "its index.yaml")
        self._check_cancelled = check_cancelled
        packed = response.header("Content-Encoding").lower() in GZIP
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
        self._left = limit
        self._rest = b""

    def read(self, size: int = READ_AT_ONCE, /) -> bytes:
        """Raises ResponseTooLarge, ProtocolViolation, Unreachable, Cancelled."""
        while not self._rest:
            self._check_cancelled()
            block = next(self._blocks, b"")
            self._rest = self._unpack(block) if self._unpacker else block
            if not block and not self._rest:
                return b""
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def _unpack(self, block: bytes) -> bytes:
        assert self._unpacker is not None  # noqa: S101 - see read
        try:
            text = self._unpacker.decompress(self._unpacker.unconsumed_tail + block, READ_AT_ONCE * 16)
        except zlib.error as problem:
            raise ProtocolViolation("the answer is not compressed as it says") from problem
        self._left -= len(text)
        if self._left < 0:
            raise ResponseTooLarge("its index.yaml unpacks to more than an index may")
        return text


def _limited(response: Response, limit: int, what: str) -> Iterator[bytes]:
    for block in response.chunks(READ_AT_ONCE):
        limit -= len(block)
        if limit < 0:
            raise ResponseTooLarge(f"{what} is larger than allowed")
        yield block


def _unpacked(content: bytes, response: Response, limit: int) -> list[bytes]:
    if response.header("Content-Encoding").lower() not in GZIP:
        return []
    try:
        return [zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, limit)]
    except zlib.error:
        return []


def refusal(response: Response, secrets: Collection[str] = ()) -> OciError:
    """ChartMuseum says {"error": "..."}, Harbor {"message": "..."} or what OCI registries say."""
    error = response.error(secrets=secrets)
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    words = (document.get("error") or document.get("message")) if isinstance(document, dict) else None
    if isinstance(words, str) and not error.code:
        error.message = scrub(hide(words, secrets))
        error.problem = f"the repository answered {response.status} “{error.message}”"
        error.args = (error.problem,)
    return error
