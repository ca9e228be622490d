"""Listing: is there a registry, which repositories, which tags (OCI distribution 1.1, "Content Discovery")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from sync.oci.errors import Denied, NotFound, ProtocolViolation, RedirectRefused, Rejected, Unauthorized, printable
from sync.oci.hosts import marked
from sync.oci.places import resolve
from sync.oci.reference import check_repository
from sync.oci.response import Response
from sync.oci.session import Session, pull

PAGE_SIZE = 1000
SUSPICIOUS_PAGE = 100
# Below that, pages of just so many names.
SUSPICIOUS_PAGES = frozenset({25, 30, 40, 50, 60, 75, 80})
# Pages in a row without a new name: a registry that filters pages may send some, a circle of links sends no others.
FRUITLESS_PAGES = 10
CATALOG_HINT = "This registry may keep no list of repositories for this account: name the repositories instead."
NO_REGISTRY_HINT = "This is not a registry, or its API lies below another address."

_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[^\s=;,]+\s*=\s*(?:\"[^\"]*\"|[^\s;,]+))*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,]+))", re.IGNORECASE)


def parse_next_link(values: Iterable[str]) -> str:
    """The target of rel="next" in the Link headers (RFC 8288), as it stands there; "" when there is none."""
    for value in values:
        for target, parameters in _LINK.findall(value):
            for quoted, bare in _RELATION.findall(parameters):
                if "next" in (quoted or bare).lower().split():
                    return str(target)
    return ""


def resolve_link(link: str, page_url: str, home: str) -> str:
    """The URL of the next page. The registry's own host is kept to, whatever scheme or port the link names (P-52).

    Raises RedirectRefused for another host.
    """
    target = urlsplit(resolve(page_url, link))
    if (target.hostname or "") != (urlsplit(home).hostname or ""):
        raise RedirectRefused(f"the next page of the list lies on another host ({marked(target.hostname or '')})")
    return f"{home.rstrip('/')}{target.path}{target.query and '?'}{target.query}"


@dataclass
class Bookmark:
    """How far a list was read: its first name and its last so far, both blank at the beginning."""

    first: str = ""
    last: str = ""


class ListApi(Session):
    """Ping, catalog and tags."""

    def ping(self) -> None:
        """Succeed when a registry answers that takes our credential; else raise an OciError that tells why not."""
        with self._doing("reach the registry"):
            try:
                response = self._request("GET", "/v2/")
            except NotFound as problem:
                if not self.asks_for_credential:
                    problem.hint = NO_REGISTRY_HINT
                raise
            except (Unauthorized, Denied) as refusal:
                refusal.operation = "sign in"
                raise
            if "html" in response.header("Content-Type"):
                raise ProtocolViolation("a web page answers at this address, not a registry")

    def catalog(self, after: Bookmark | None = None) -> Iterator[str]:
        """The names of the repositories that the registry lists for this account, page by page.

        after: where the list is gone on with; it moves along with each name.
        """
        with self._doing("list the repositories"):
            try:
                yield from self._names("/v2/_catalog", "registry:catalog:*", "repositories", after)
            except (Unauthorized, Denied, NotFound, Rejected) as problem:
                problem.hint = CATALOG_HINT
                raise

    def tags(self, repository: str, after: Bookmark | None = None) -> Iterator[str]:
        """The tags of a repository, page by page. Raises NotFound when the registry does not know it.

        after: where the list is gone on with; it moves along with each name.
        """
        check_repository(repository)
        with self._doing(f"list the tags of {repository}"):
            yield from self._names(f"/v2/{repository}/tags/list", pull(repository), "tags", after)

    def _names(self, path: str, scope: str, key: str, after: Bookmark | None) -> Iterator[str]:
        """The names of all pages, each once: by Link or, where none is given, after a long page by `last` (P-53)."""
        seen: set[str] = set()
        place = after or Bookmark()
        begun_with, last, fruitless, linked = place.first, place.last, 0, False
        target = _page_after(path, last)
        while target:
            response = self._request("GET", target, (scope,))
            page = _page(response, key)
            if begun_with and begun_with in page:
                problem = f"its list cannot be read in steps: asked for what follows {last}, it begins anew"
                raise ProtocolViolation(problem)
            fresh = [name for name in dict.fromkeys(page) if name not in seen]
            seen.update(fresh)
            for name in fresh:
                place.first, place.last = place.first or name, name
                yield name
            fruitless = 0 if fresh else fruitless + 1
            link = parse_next_link(response.header_values("Link"))
            following = resolve_link(link, response.url, self.endpoint.url) if link else ""
            linked = linked or bool(link)
            if not linked and fresh and (last or len(page) >= SUSPICIOUS_PAGE or len(page) in SUSPICIOUS_PAGES):
                last = page[-1]
                following = _page_after(path, last)
            if following and fruitless > FRUITLESS_PAGES:
                raise ProtocolViolation("the list of the registry leads in a circle")
            target = following


def _page_after(path: str, last: str) -> str:
    return f"{path}?n={PAGE_SIZE}" + (f"&last={quote(last, safe='')}" if last else "")


def _page(response: Response, key: str) -> list[str]:
    """The names on one page, printable; null and a missing key are an empty list (P-55)."""
    document = response.json()
    names = document.get(key) if isinstance(document, dict) else document
    if names is None and isinstance(document, dict):
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolViolation("the registry's list is not a list of names")
    return list(map(printable, names))
