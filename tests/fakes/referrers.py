"""A real registry with the Referrers API, which Debian's does not have."""

import json
import re
from collections import defaultdict
from typing import Any

from sync.oci.manifest import OCI_INDEX
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, Received
from tests.support import Relay


class ReferrersRelay(Relay):
    """Takes note of subjects when manifests are pushed through it, and lists them, `page` at a time."""

    def __init__(self, behind: str, page: int = 1000) -> None:
        super().__init__(behind)
        self.listed: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._page = page
        self.script("GET", "/v2/", self._get)
        self.script("PUT", "/v2/", self._put)

    def _put(self, request: Received) -> Answer:
        answer = self.forward(request)
        if "/manifests/" not in request.target or answer.status != 201:
            return answer
        document = json.loads(request.body)
        if subject := document.get("subject"):
            self._note(subject["digest"], document, request)
            return Answer(201, {**answer.headers, "OCI-Subject": subject["digest"]}, answer.body)
        return answer

    def _note(self, subject: str, document: dict[str, Any], request: Received) -> None:
        entry = {
            "mediaType": request.headers["Content-Type"],
            "digest": digest_of(request.body),
            "size": len(request.body),
            "artifactType": document.get("artifactType", ""),
        }
        if entry not in self.listed[subject]:
            self.listed[subject].append(entry)

    def _get(self, request: Received) -> Answer:
        asked = re.fullmatch(r"(/v2/.+/referrers/(sha256:\w+))(?:\?from=(\d+))?", request.target)
        if not asked:
            return self.forward(request)
        path, subject, start = asked[1], asked[2], int(asked[3] or 0)
        found, end = self.listed[subject], start + self._page
        link = {"Link": f'<{path}?from={end}>; rel="next"'} if end < len(found) else {}
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[start:end]}
        return Answer(200, {"Content-Type": OCI_INDEX, **link}, json.dumps(body).encode())
