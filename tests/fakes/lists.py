"""A registry whose lists are long or slow, and whose tags all stand for the same."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from sync.oci.manifest import OCI_MANIFEST
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received

CATALOG = "/v2/_catalog"
HELD = {"Content-Type": OCI_MANIFEST, "Content-Length": "2", "Docker-Content-Digest": digest_of(b"{}")}


class ListingRegistry(FakeRegistry):
    """Lists its repositories and their sorted tags, `page` names at a time and each page after some seconds.

    knows_last: goes on behind `last`; otherwise by links of its own alone. asked: how often for each list.
    """

    def __init__(
        self, tags: Mapping[str, Sequence[str]], page: int, seconds: Mapping[str, float], *, knows_last: bool = True
    ) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self._lists = {CATALOG: sorted(tags), **{f"/v2/{name}/tags/list": names for name, names in tags.items()}}
        self._page, self._seconds, self._mark = page, seconds, "last" if knows_last else "mark"
        self.script("GET", "/v2/", self._get)
        self.script("HEAD", "/v2/", Answer(headers=HELD))

    def _get(self, request: Received) -> Answer:
        path, query = urlsplit(request.target).path, parse_qs(urlsplit(request.target).query)
        if path == "/v2/":
            return Answer()
        self.asked[path] += 1
        self.release.wait(self._seconds.get(path, 0))
        names = self._lists[path]
        start = bisect_right(names, query.get(self._mark, [""])[0])
        page = names[start : start + self._page]
        more = start + self._page < len(names)
        link = {"Link": f'<{path}?{self._mark}={page[-1]}>; rel="next"'} if more else {}
        return Answer(headers=link, body=json.dumps({"repositories": page, "tags": page}).encode())
