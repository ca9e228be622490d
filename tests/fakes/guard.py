"""A real registry behind a token server (distribution token specification)."""

import json
import re
from itertools import count
from urllib.parse import parse_qs, urlsplit

from tests.fakes.registry import Answer, Received
from tests.support import Relay


class GuardedRelay(Relay):
    """Every request needs a token with the right for it, which anybody gets and which is good for `uses` requests.

    closed: repositories that no token opens. scopes: what was asked for, token by token.
    """

    def __init__(self, behind: str, *, uses: int = 1_000_000, closed: frozenset[str] = frozenset()) -> None:
        super().__init__(behind)
        self.scopes: list[list[str]] = []
        self._uses, self._closed = uses, closed
        self._left: dict[str, int] = {}
        self._rights: dict[str, set[str]] = {}
        self._names = count(1)
        self.script("GET", "/token", self._deal)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            self.script(method, "/v2/", self.guard)

    def _deal(self, request: Received) -> Answer:
        asked = [scope for one in parse_qs(urlsplit(request.target).query).get("scope", []) for scope in one.split()]
        self.scopes.append(asked)
        token = f"token-{next(self._names)}"
        self._left[token] = self._uses
        self._rights[token] = {
            f"{name}:{action}" for kind, name, actions in (one.split(":") for one in asked)
            if kind == "repository" and name not in self._closed for action in actions.split(",")
        }  # fmt: skip
        return Answer(body=json.dumps({"token": token, "expires_in": 3600}).encode())

    def guard(self, request: Received) -> Answer:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        named = re.match(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/", request.target)
        write = request.method not in ("GET", "HEAD")
        needed = {f"{named[1]}:{'push' if write else 'pull'}"} if named else set()
        if not self._left.get(token) or not needed <= self._rights[token]:
            error = ',error="invalid_token"' if token else ""
            return Answer(401, {"WWW-Authenticate": f'Bearer realm="{self.url}/token",service="guard"{error}'})
        self._left[token] -= 1
        return self.forward(self._without_mount(request, self._rights[token]))

    def _without_mount(self, request: Received, rights: set[str]) -> Received:
        """From a repository that may not be read nothing is mounted: that is a plain POST then."""
        path, _, query = request.target.partition("?")
        from_ = parse_qs(query).get("from", [""])[0]
        if not from_ or f"{from_}:pull" in rights:
            return request
        return Received(request.method, path, request.headers, request.body)
