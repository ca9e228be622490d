"""ChartMuseum's API as its README ("Uploading a Chart Package", "Multitenancy") and its handlers describe it (0.16).

Statuses and bodies: 201 {"saved":true}, 409 {"error":"file already exists"} without ?force (or where force is off),
400 for what is no chart, 200 {"deleted":true}, 404 {"error":...}, 401 {"error":"unauthorized"} with a Basic challenge.
Harbor 1.6-2.7 and TCR spoke the same below /chartrepo: tenants of the depth 2 whose first part is "chartrepo".
"""

from __future__ import annotations

import base64
import email
import io
import json
import tarfile
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import yaml

from tests.fakes.registry import Answer, FakeRegistry, Received


class FakeChartMuseum(FakeRegistry):
    """files: by tenant and file name. depth: so many parts of a path name a tenant; None: any number (dynamic)."""

    def __init__(
        self,
        depth: int | None = 0,
        credential: str = "",
        *,
        allow_force: bool = True,
        disable_delete: bool = False,
        lags: bool = False,
    ) -> None:
        """credential: user:password. lags: the index stays as it was at first, as with a cache interval."""
        super().__init__()
        self.files: dict[tuple[str, str], bytes] = {}
        self._depth, self._credential = depth, credential
        self._allow_force, self._disable_delete = allow_force, disable_delete
        self._lags, self._indexes = lags, dict[str, bytes]()
        self._created: dict[tuple[str, str], str] = {}

    def store(self, tenant: str, package: bytes, provenance: bytes = b"") -> None:
        about = about_chart(package)
        name = f"{about['name']}-{about['version']}.tgz"
        self._put(tenant, name, package)
        if provenance:
            self._put(tenant, f"{name}.prov", provenance)

    def charts(self, tenant: str = "") -> list[str]:
        return sorted(name for where, name in self.files if where == tenant)

    def answer(self, request: Received) -> Answer:
        with self._lock:
            self.requests.append(request)
            if any(prefix for method, prefix in self._scripts if method == request.method):
                self.requests.pop()
            else:
                return self._authorized(request)
        return super().answer(request)

    def _put(self, tenant: str, name: str, content: bytes) -> None:
        self.files[tenant, name] = content
        self._created[tenant, name] = datetime.now(UTC).isoformat()

    def _authorized(self, request: Received) -> Answer:
        wanted = f"Basic {base64.b64encode(self._credential.encode()).decode()}"
        if self._credential and request.headers.get("Authorization") != wanted:
            return _json(401, {"error": "unauthorized"}, {"WWW-Authenticate": 'Basic realm="ChartMuseum"'})
        path, _, query = request.target.partition("?")
        parts = path.strip("/").split("/")
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        depth = _depth_of(request.method, parts) if self._depth is None else self._depth
        tenant, rest = "/".join(parts[:depth]), parts[depth:]
        if not rest:
            return _json(404, {"error": "not found"})
        return self._manage(request, tenant, rest, query) if api else self._read(tenant, rest)

    def _read(self, tenant: str, rest: list[str]) -> Answer:
        if rest == ["index.yaml"]:
            body = self._index(tenant)
            if self._lags:
                body = self._indexes.setdefault(tenant, body)
            return Answer(200, {"Content-Type": "application/x-yaml"}, body)
        if len(rest) == 2 and rest[0] == "charts" and (tenant, rest[1]) in self.files:
            return Answer(200, {"Content-Type": "application/x-tar"}, self.files[tenant, rest[1]])
        return _json(404, {"error": "not found"})

    def _index(self, tenant: str) -> bytes:
        entries: dict[str, list[dict[str, Any]]] = {}
        for (where, name), content in self.files.items():
            if where == tenant and name.endswith(".tgz"):
                about = about_chart(content)
                more = {
                    "urls": [f"charts/{name}"],
                    "digest": sha256(content).hexdigest(),
                    "created": self._created[where, name],
                }
                entries.setdefault(about["name"], []).append(about | more)
        return yaml.safe_dump({"apiVersion": "v1", "entries": entries, "generated": "2025-01-01T00:00:00Z"}).encode()

    def _manage(self, request: Received, tenant: str, rest: list[str], query: str) -> Answer:
        if rest == ["charts"] and request.method == "POST":
            return self._upload(request, tenant, "force" in query.split("&"))
        if len(rest) == 3 and rest[0] == "charts" and request.method == "DELETE" and not self._disable_delete:
            name = f"{rest[1]}-{rest[2].replace('%2B', '+')}.tgz"
            if (tenant, name) not in self.files:
                return _json(404, {"error": f"open {name}: no such file or directory"})
            del self.files[tenant, name]
            self.files.pop((tenant, f"{name}.prov"), None)
            return _json(200, {"deleted": True})
        return _json(404, {"error": "not found"})

    def _upload(self, request: Received, tenant: str, force: bool) -> Answer:
        form = _form(request)
        package, provenance = form.get("chart", b""), form.get("prov", b"")
        try:
            about = about_chart(package)
        except (tarfile.TarError, KeyError, StopIteration):
            return _json(400, {"error": "gzip: invalid header"})
        if (tenant, f"{about['name']}-{about['version']}.tgz") in self.files and not (force and self._allow_force):
            return _json(409, {"error": "file already exists"})
        self.store(tenant, package, provenance)
        return _json(201, {"saved": True})


def about_chart(package: bytes) -> dict[str, Any]:
    """Chart.yaml of a package."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        name = next(name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/Chart.yaml"))
        found = archive.extractfile(name)
        assert found is not None
        about: dict[str, Any] = yaml.safe_load(found)
        return about


def _depth_of(method: str, parts: list[str]) -> int:
    """What stands before index.yaml, charts, charts/<file> or charts/<name>/<version>."""
    if parts[-1] in ("index.yaml", "charts"):
        return len(parts) - 1
    return len(parts) - (3 if method == "DELETE" else 2)


def _form(request: Received) -> dict[str, bytes]:
    """The files of a form; a body that is none is the chart."""
    if not request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return {"chart": request.body}
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + request.body).walk()
    files = ((part.get_param("name", header="Content-Disposition"), part.get_payload(decode=True)) for part in parts)
    return {str(name): content for name, content in files if name and isinstance(content, bytes)}


def _json(status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())
