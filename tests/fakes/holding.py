"""A registry that keeps what is pushed in memory (OCI distribution 1.1): for kinds of registry that no test can run."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs, urlsplit

from sync.oci.reference import digest_of, is_digest
from tests.fakes.registry import Answer, FakeRegistry, Received

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PATH = re.compile(r"/v2/(?P<name>.+)/(?P<what>manifests|blobs|tags|referrers)/(?P<rest>.+)")


@dataclass
class Held:
    """A repository. subjects: of manifests that refer to another, to which."""

    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)

    def referrers(self, subject: str) -> list[dict[str, object]]:
        return [self._entry(digest) for digest, of in self.subjects.items() if of == subject]

    def _entry(self, digest: str) -> dict[str, object]:
        media_type, body = self.manifests[digest]
        document = json.loads(body)
        kind = document.get("artifactType") or document["config"]["mediaType"]
        return {"mediaType": media_type, "digest": digest, "size": len(body), "artifactType": kind}


class HoldingRegistry(FakeRegistry):
    """`held`: the repositories by name. Each request of the OCI API comes through v2()."""

    def __init__(self) -> None:
        super().__init__()
        self.held: defaultdict[str, Held] = defaultdict(Held)
        self._uploads: dict[str, bytearray] = {}
        self._numbers = count(1)
        for method in METHODS:
            self.script(method, "/v2/", self.v2)

    def v2(self, request: Received) -> Answer:
        address = urlsplit(request.target)
        found = PATH.fullmatch(address.path)
        if found is None:
            return Answer(200 if address.path == "/v2/" else 404)
        name, what, rest = found["name"], found["what"], found["rest"]
        if what == "tags":
            return self.tags(name, parse_qs(address.query))
        if what == "referrers":
            index = {"schemaVersion": 2, "manifests": self.held[name].referrers(rest)}
            media_type = "application/vnd.oci.image.index.v1+json"
            return Answer(200, {"Content-Type": media_type}, json.dumps({**index, "mediaType": media_type}).encode())
        if what == "manifests":
            return self._manifest(request, name, rest)
        if rest.startswith("uploads"):
            return self._upload(request, name, rest.removeprefix("uploads").strip("/"), parse_qs(address.query))
        blob = self.held[name].blobs.get(rest)
        return Answer(404) if blob is None else Answer(200, {"Docker-Content-Digest": rest}, blob)

    def tags(self, name: str, query: dict[str, list[str]]) -> Answer:
        if name not in self.held:
            return self.absent(name)
        tags, last = sorted(self.held[name].tags), query.get("last", [""])[0]
        most = int(query.get("n", ["1000"])[0])
        left = [tag for tag in tags if tag > last]
        link = {"Link": f'</v2/{name}/tags/list?n={most}&last={left[most - 1]}>; rel="next"'} if left[most:] else {}
        return Answer(200, link, json.dumps({"name": name, "tags": left[:most]}).encode())

    def absent(self, name: str) -> Answer:
        return Answer(404, body=b'{"errors": [{"code": "NAME_UNKNOWN"}]}')

    def put(self, name: str, reference: str, media_type: str, body: bytes) -> str:
        digest = digest_of(body)
        self.held[name].manifests[digest] = media_type, body
        if subject := json.loads(body).get("subject"):
            self.held[name].subjects[digest] = subject["digest"]
        if not is_digest(reference):
            self.held[name].tags[reference] = digest
        return digest

    def _manifest(self, request: Received, name: str, reference: str) -> Answer:
        if request.method == "PUT":
            digest = self.put(name, reference, request.headers["Content-Type"], request.body)
            subject = self.held[name].subjects.get(digest)
            return Answer(201, {"Docker-Content-Digest": digest, **({"OCI-Subject": subject} if subject else {})})
        digest = self.held[name].tags.get(reference, reference) if name in self.held else ""
        held = self.held[name].manifests.get(digest) if digest else None
        if held is None:
            return Answer(404, body=b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        return Answer(200, {"Content-Type": held[0], "Docker-Content-Digest": digest}, held[1])

    def _upload(self, request: Received, name: str, upload: str, query: dict[str, list[str]]) -> Answer:
        mounted = query.get("mount", [""])[0], query.get("from", [""])[0]
        if request.method == "POST":
            if mounted[1] in self.held and mounted[0] in self.held[mounted[1]].blobs:
                self.held[name].blobs[mounted[0]] = self.held[mounted[1]].blobs[mounted[0]]
                return Answer(201, {"Location": f"/v2/{name}/blobs/{mounted[0]}"})
            upload = str(next(self._numbers))
            self._uploads[upload] = bytearray()
        if request.method == "DELETE":
            self._uploads.pop(upload, None)
            return Answer(204)
        self._uploads[upload] += request.body
        if "digest" in query:
            self.held[name].blobs[query["digest"][0]] = bytes(self._uploads.pop(upload))
            return Answer(201, {"Location": f"/v2/{name}/blobs/{query['digest'][0]}"})
        received = {"Range": f"0-{max(0, len(self._uploads[upload]) - 1)}"}
        return Answer(202, {"Location": f"/v2/{name}/blobs/uploads/{upload}", **received})
