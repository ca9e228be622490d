"""One conversation with one registry: authentication, expected statuses, and errors that say where they happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from sync.oci.auth import Authenticator, Challenge, Credential, parse_challenges
from sync.oci.errors import OciError, ProtocolViolation, Unauthorized
from sync.oci.guest import NO_LIMITS, Limits
from sync.oci.hosts import marked
from sync.oci.places import Endpoint, host_of, origin
from sync.oci.response import BODY_LIMIT, Response
from sync.oci.transport import ATTEMPTS, Body, Transport, always

MANIFEST_LIMIT = 4 * 1024 * 1024
FOREIGN_HINT = "Credentials go to their registry only: if that host is the registry, make it this instance's address."


def pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


class Session:
    """What all parts of a client share. Safe for many threads.

    explain: may put a better hint into an error that is on its way to the caller; called once it is located.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credential: Credential | None = None,
        *,
        side: str = "",
        cancelled: Callable[[], bool] = lambda: False,
        manifest_limit: int = MANIFEST_LIMIT,
        attempts: int = ATTEMPTS,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.endpoint = endpoint
        self.side = side
        self.manifest_limit = manifest_limit
        self._transport = Transport(endpoint, cancelled=cancelled, attempts=attempts, limits=limits)
        self._auth = Authenticator(self._transport, credential)
        self._guests: dict[tuple[object, ...], Authenticator] = {}
        self._without_referrers: set[str] = set()
        self.explain: Callable[[OciError], None] = lambda error: None

    @property
    def asks_for_credential(self) -> bool:
        """Whether the registry has refused a request that came without or with a wrong credential; ask after ping().

        False: it is open so far, and has not looked at the credential. True, and ping() succeeded: it took the
        password (Basic), or its token server gave a token for it (Bearer). A token server that gives tokens to
        everybody may have looked at no password either: that cannot be told apart from here (P-23).
        """
        return self._auth.challenged

    def abort(self) -> None:
        """Break off at once what all threads do with this client (see Transport.abort); cleaning up goes on."""
        self._transport.abort()

    def check_cancelled(self) -> None:
        """Raise Cancelled when the caller of this client asked to stop."""
        self._transport.check_cancelled()

    @property
    def attempts(self) -> int:
        """Per request, the first one counted."""
        return self._transport.attempts

    def pause(self, attempt: int) -> None:
        """Wait before the next attempt: exponential back-off with jitter. Raises Cancelled."""
        self._transport.pause(attempt)

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    @contextmanager
    def _doing(self, operation: str) -> Iterator[None]:
        """Name side, registry and operation in every error that passes."""
        try:
            yield
        except OciError as problem:
            problem.located(self.side, self.endpoint.label, operation)
            self.explain(problem)
            raise

    def _request(
        self,
        method: str,
        target: str,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        *,
        ok: Sequence[int] = (200,),
        stream: bool = False,
        limit: int = BODY_LIMIT,
        check: Callable[[], None] = always,
    ) -> Response:
        """Send with authentication; return an answer whose status is in `ok`, raise the error for any other.

        A 401 of the registry is answered once; one of another host, where a redirect led, without our credential
        (P-34). A body that cannot be sent twice makes it an Unauthorized that is retryable.
        """
        for _ in range(2):
            authorization = self._auth.header_for(scopes) if self._is_home(target) else {}
            sent = {**(headers or {}), **authorization}
            response = self._transport.request(method, target, sent, body, stream=stream, limit=limit, check=check)
            if response.status != 401 or not self._is_home(response.url):
                break
            asked = self._challenges(response)
            if not self._auth.answer(asked, scopes, authorization.get("Authorization", "")):
                break
            if not (body is None or isinstance(body, bytes)):
                raise self._repeatable(response)
        if response.status == 401 and method in ("GET", "HEAD") and scopes and not self._is_home(response.url):
            response = self._as_guest(response, method, headers, stream=stream, limit=limit)
        if response.status not in ok:
            raise self._error(response)
        return response

    def _as_guest(
        self, response: Response, method: str, headers: Mapping[str, str] | None, *, stream: bool, limit: int
    ) -> Response:
        """The same as anybody, at another host that asked who we are: again, where a token that was kept has ended."""
        asked = response.header_values("WWW-Authenticate")
        key = (origin(response.url), *asked)
        tries = 2 if key in self._guests else 1
        guest = self._guests.get(key) or Authenticator(self._transport)
        shown = ""
        while tries and response.status == 401 and guest.answer(parse_challenges(asked), (), shown):
            guest = self._guests.setdefault(key, guest)
            sent = guest.header_for(())
            shown, tries = sent.get("Authorization", ""), tries - 1
            response = self._transport.request(
                method, response.url, {**(headers or {}), **sent}, stream=stream, limit=limit
            )
            asked = response.header_values("WWW-Authenticate")
        return response

    def manage(
        self,
        operation: str,
        method: str,
        path: str,
        document: object = None,
        *,
        ok: Sequence[int] = (200,),
        check: Callable[[], None] = always,
    ) -> Response:
        """One request to a management API at the registry's own address, as JSON, with the credential as it is.

        Such APIs answer without a challenge, to anonymous people as well. Raises the error for a status not in `ok`.
        """
        headers = {"Accept": "application/json", **self._auth.basic()}
        body = None if document is None else json.dumps(document).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._doing(operation):
            response = self._transport.request(method, path, headers, body, check=check)
            if response.status not in ok:
                raise self._error(response)
            return response

    def _clean_up(self, target: str, scopes: Sequence[str]) -> None:
        """DELETE what the registry keeps for us; one attempt, made even after cancellation, whatever the answer."""
        with closing(self._transport.courtesy()) as courtesy:
            headers = self._auth.header_for(scopes, courtesy) if self._is_home(target) else {}
            courtesy.request("DELETE", target, headers)

    def _challenges(self, response: Response) -> list[Challenge]:
        """The challenges of a 401; some registries give them on /v2/ alone (P-21)."""
        values = response.header_values("WWW-Authenticate")
        if not values:
            root = self._transport.request("GET", "/v2/")
            values = root.header_values("WWW-Authenticate") if self._is_home(root.url) else []
        return parse_challenges(values)

    def _is_home(self, target: str) -> bool:
        return target.startswith("/v2/") or self._transport.is_home(target)

    def _error(self, response: Response) -> OciError:
        if response.is_success:
            response.close()
            return ProtocolViolation(f"the registry answered {response.status}, which does not belong here")
        if response.status == 401 and not self._is_home(response.url):
            problem = f"it leads to {marked(host_of(response.url))}, which asks for a credential of its own"
            return Unauthorized(problem, status=401, hint=FOREIGN_HINT)
        return response.error(secrets=self._auth.secrets)

    def _repeatable(self, response: Response) -> OciError:
        problem = response.error(secrets=self._auth.secrets)
        problem.retryable = True
        return problem
