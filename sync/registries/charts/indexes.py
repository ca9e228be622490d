"""The indexes of a chart repository: one in each namespace, read once and then asked for only whether it is new."""

from __future__ import annotations

import email.utils
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any

from sync.oci.errors import NotFound, ProtocolViolation
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP, check_repository, check_tag, join_namespace
from sync.oci.response import Response
from sync.registries.charts.asking import Asking, Stream
from sync.registries.charts.index import Index, Version, looks_like_index, read_index
from sync.registries.charts.shelf import MEMORY

INDEX_LIMIT = 64 * 1024 * 1024
# An index is asked for again after so many seconds, and no more often than so many times what reading it took.
INDEX_SECONDS, INDEX_SHARE = 10.0, 10.0
BEGINNING = 4096
NAMESPACE_HINT = "Compare the address of the instance and the namespace: there is an index.yaml in each namespace."


@dataclass
class Held:
    """An index as this client knows it. cost: the seconds that reading it took; at: when it was last asked for."""

    index: Index
    at: float
    cost: float


class ChartIndexes(Asking):
    """What an index alone answers: names and versions."""

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)
        self._held: dict[str, Held] = {}
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # What was written since the index was read; None: deleted.
        self._written: dict[tuple[str, str], Version | None] = {}

    def ping(self) -> None:
        """A namespace has an index of its own, so that none at the address itself is no fault."""
        with self._doing("reach the chart repository"):
            url, anonymous = self._index_url(""), not self._auth.basic()
            accepted = (200, 404) if anonymous else (200, 401, 404)
            response = self._ask("GET", url, ok=accepted, stream=True, with_credential=False)
            if response.status == 401:
                response = self._ask("GET", url, ok=(200, 404), stream=True)
            response.close()
            if response.status == 200 and "html" in response.header("Content-Type"):
                raise ProtocolViolation("a web page answers at this address, not a chart repository")

    def looks_right(self) -> bool:
        """Whether an index.yaml answers at the address. Raises OciError."""
        with closing(self._ask("GET", self._index_url(""), stream=True)) as response:
            return looks_like_index(next(response.chunks(BEGINNING), b""))

    def catalog(self, after: Bookmark | None = None) -> Iterator[str]:
        """Of the topmost namespace: no other is listed anywhere."""
        yield from self.charts(NAMESPACE_TOP, after)

    def charts(self, namespace: str, after: Bookmark | None = None) -> Iterator[str]:
        """The repositories of a namespace, sorted. Raises NotFound where it has no index."""
        with self._doing("list the charts"):
            index = self._index("" if namespace == NAMESPACE_TOP else namespace)
            yield from _after((join_namespace(namespace, name) for name in sorted(index.charts)), after)

    def tags(self, repository: str, after: Bookmark | None = None) -> Iterator[str]:
        """Raises NotFound: with the code NAME_UNKNOWN where the index says that there is no such chart."""
        namespace, name = split_name(check_repository(repository))
        with self._doing(f"list the versions of {repository}"):
            known = set(self._charts(namespace).get(name, {}))
            for (where, tag), version in list(self._written.items()):
                if where == repository:
                    (known.discard if version is None else known.add)(tag)
            if not known:
                problem = f"the index lists no chart {name}"
                raise NotFound(problem, status=404, code="NAME_UNKNOWN")
            yield from _after(sorted(known), after)

    def _versions(self, repository: str) -> Iterable[Version]:
        namespace, name = split_name(check_repository(repository))
        found: dict[str, Version | None] = dict(self._charts(namespace).get(name, {}))
        found |= {tag: one for (where, tag), one in list(self._written.items()) if where == repository}
        return [one for one in found.values() if one is not None]

    def _tagged(self, repository: str, tag: str) -> Version | None:
        namespace, name = split_name(check_repository(repository))
        if (key := (repository, check_tag(tag))) in self._written:
            return self._written[key]
        return self._charts(namespace).get(name, {}).get(tag)

    def _charts(self, namespace: str) -> dict[str, dict[str, Version]]:
        """Of a target the namespace may still have to be made, by the first chart."""
        try:
            return self._index(namespace).charts
        except NotFound:
            if self.side == "target":
                return {}
            raise

    def _index(self, namespace: str, *, anew: bool = False) -> Index:
        """Raises OciError; NotFound where there is no index."""
        with self._turns[namespace]:
            held = self._held.get(namespace)
            if held and not anew and monotonic() - held.at < max(INDEX_SECONDS, INDEX_SHARE * held.cost):
                return held.index
            began = monotonic()
            index, was_read = self._ask_for_index(namespace, held.index if held else None)
            cost = monotonic() - began if was_read or held is None else held.cost
            self._held[namespace] = Held(index, monotonic(), cost)
            return index

    def _ask_for_index(self, namespace: str, known: Index | None) -> tuple[Index, bool]:
        """The index, and whether it had to be read."""
        url = self._index_url(namespace)
        key = url, sha256(str(self._auth.basic()).encode()).hexdigest()
        known = known or MEMORY.indexes.get(key)
        headers = {}
        if known and known.etag:
            headers["If-None-Match"] = known.etag
        elif known and known.modified:
            headers["If-Modified-Since"] = known.modified

        def read(answer: Response) -> Index:
            if answer.status == 304 and known is not None:
                return known
            stream = Stream(answer, INDEX_LIMIT, self._transport.check_cancelled)
            charts = read_index(stream, self.endpoint.label)
            return Index(charts, answer.header("ETag"), _surely_modified(answer.header))

        try:
            index = self._read_body(url, read, headers, (200, 304) if headers else (200,))
        except NotFound as problem:
            problem.hint = NAMESPACE_HINT
            raise
        MEMORY.indexes.put(key, index)
        return index, index is not known


def split_name(repository: str) -> tuple[str, str]:
    """Namespace and name of the chart; the namespace is blank for what lies topmost."""
    namespace, _, name = repository.rpartition("/")
    return namespace, name


def _after(names: Iterable[str], after: Bookmark | None) -> Iterator[str]:
    """Of sorted names those that follow the bookmark, which moves along."""
    place = after or Bookmark()
    last = place.last
    for name in names:
        if name > last or not last:
            place.first, place.last = place.first or name, name
            yield name


def _surely_modified(header: Callable[[str], str]) -> str:
    """Last-Modified, unless the file could have been written once more in the same second (RFC 9110, 8.8.2.2)."""
    try:
        modified, now = (email.utils.parsedate_to_datetime(header(name)) for name in ("Last-Modified", "Date"))
        return header("Last-Modified") if (now - modified).total_seconds() > 1 else ""
    except (TypeError, ValueError, IndexError):
        return ""
