"""A chart repository as a target, by ChartMuseum's API: a package is sent when its manifest would be written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex
from typing import Any, ClassVar

from sync.oci.client import Content, Upload
from sync.oci.errors import DigestMismatch, InvalidManifest, NotFound, OciError, Rejected, ServerFault
from sync.oci.manifest import HELM_CONFIG, Descriptor, Manifest
from sync.oci.manifest_api import Pushed
from sync.oci.reference import NAMESPACE_TOP, check_repository, check_tag, digest_of, is_digest
from sync.oci.transport import always
from sync.registries.charts.artifact import (
    CHART_LAYERS,
    PROVENANCE_LAYER,
    chart_layer,
    name_and_version,
    provenance_layer,
    tag_of,
)
from sync.registries.charts.index import Version
from sync.registries.charts.indexes import split_name
from sync.registries.charts.reading import LARGE_HINT, PACKAGE_LIMIT, ChartReading
from sync.registries.charts.shelf import MEMORY

UNKNOWN_TYPE = "application/octet-stream"
NO_API = (404, 405, 501)
NO_API_HINT = (
    "Nothing takes uploads there: it may be a plain web server, which cannot be a target, or another namespace."
)
TAKEN_HINT = "Somebody was quicker, or its index.yaml lags behind: the next run looks again."
KEPT_HINT = "The repository is set to keep what it has: allow ?force there, or leave the tag out of the rule."
NO_DELETION_HINT = "Deletion may be off in this repository (ChartMuseum: --disable-delete). Switch it on there."


class ChartWriting(ChartReading):
    """Keeps the parts of a chart in memory while a manifest is expected that has them."""

    keeps_parts: ClassVar[bool] = False

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._expected: Counter[tuple[str, str]] = Counter()
        self._waiting_turn = threading.Lock()
        self._seen: set[tuple[str, str]] = set()

    def look_beside(self, repository: str, tag: str, held: str, read: Callable[[], Manifest]) -> str:
        """By the packages: an index tells the digest of its own, and the source's manifest names the other."""
        with self._doing(f"look up chart {repository}:{tag}"):
            version = self._tagged(repository, tag)
            if version is None:
                return ""
            self._seen.add((repository, tag))
            known = MEMORY.known.get(self._key(repository, version))
            if known and known.digest == held:
                return held
        if version.digest and version.digest == _package_of(held, read):
            return held
        with self._doing(f"look up chart {repository}:{tag}"):
            there = self._known(repository, version).digest
        package = "" if version.digest else MEMORY.inside.get(there)
        return held if package and package == _package_of(held, read) else there

    def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        found = super().head_manifest(repository, reference)
        if found is not None:
            self._seen.add((repository, reference))
        return found

    def mount(self, repository: str, digest: str, from_repository: str) -> Upload:
        """Nothing can be mounted."""
        return Upload("")

    def start_upload(self, repository: str) -> Upload:
        """At the address itself: what namespaces there are is not known. Raises OciError where nothing takes charts."""
        self.try_upload(NAMESPACE_TOP)
        return Upload("")

    def try_upload(self, namespace: str) -> None:
        """What needs no chart: an empty one is refused by who would take one. Raises OciError for who would not."""
        with self._doing("try an upload"):
            try:
                path = self._api_path("" if namespace == NAMESPACE_TOP else namespace)
                self._ask("POST", path, body=b"", ok=(400, 422)).close()
            except OciError as problem:
                raise _without_api(problem) from None

    def abandon(self, repository: str, session: Upload) -> None:
        """There are no sessions."""

    def upload(
        self,
        repository: str,
        descriptor: Descriptor,
        content: Iterable[Any] | Content,
        upload: Upload | None = None,
    ) -> None:
        """Holds a package or a provenance file until the manifest comes; a configuration is inside the package."""
        with self._doing(f"take in blob {repository}@{descriptor.digest}"):
            if descriptor.media_type == HELM_CONFIG:
                return
            if descriptor.media_type not in (*CHART_LAYERS, PROVENANCE_LAYER, UNKNOWN_TYPE):
                raise InvalidManifest("a chart repository takes charts only", hint="Let the rule choose charts alone.")
            if descriptor.size > PACKAGE_LIMIT:
                raise OciError(f"it has {descriptor.size} bytes", hint=LARGE_HINT)
            part = b"".join(map(bytes, _exactly(descriptor, content(0) if callable(content) else content)))
        with self._waiting_turn:
            self._waiting[repository, descriptor.digest] = part

    def expect(self, repository: str, manifest: Manifest) -> None:
        with self._waiting_turn:
            self._expected.update((repository, blob.digest) for blob in manifest.blobs)

    def expect_no_more(self, repository: str, manifest: Manifest) -> None:
        """Another tag may wait for the same parts, whatever became of this one."""
        with self._waiting_turn:
            self._expected.subtract((repository, blob.digest) for blob in manifest.blobs)
            for key in [(repository, blob.digest) for blob in manifest.blobs]:
                if self._expected[key] <= 0:
                    del self._expected[key]
                    self._waiting.pop(key, None)

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, check: Callable[[], None] = always
    ) -> Pushed:
        """Sends the package under its own name and version, which the tag must be.

        Over another one only when that was seen: whoever looked first has decided that it may be overwritten.
        """
        with self._doing(f"upload chart {repository}:{reference}"):
            package_digest, provenance_digest = chart_layer(manifest), provenance_layer(manifest)
            package = self._waiting.get((repository, package_digest))
            if package is None or is_digest(reference):
                raise InvalidManifest("a chart repository takes a chart with its package, under its version")
            version = _fitting_version(package, repository, reference)
            there = Version(version, f"charts/{split_name(repository)[1]}-{version}.tgz", package_digest)
            provenance = self._waiting.get((repository, provenance_digest), b"")
            self._send_files(repository, there, package, provenance, check)
            self._written[repository, reference] = there
            MEMORY.inside.put(manifest.digest, package_digest)
            return Pushed(manifest.digest, False)

    def delete_manifest(self, repository: str, reference: str, check: Callable[[], None] = always) -> None:
        """Deletes a version with its provenance file; what is not there is deleted."""
        with self._doing(f"delete chart {repository}:{reference}"):
            version = self._version(repository, reference)
            if version is None:
                return
            namespace, name = split_name(repository)
            try:
                self._ask("DELETE", self._api_path(namespace, name, version.version), ok=(200, 202, 204), check=check)
            except NotFound as problem:
                if self._is_there(repository, version):
                    problem.hint = NO_DELETION_HINT
                    raise
            self._written[repository, tag_of(version.version)] = None

    def _send_files(
        self, repository: str, version: Version, package: bytes, provenance: bytes, check: Callable[[], None]
    ) -> None:
        overwrites = (repository, tag_of(version.version)) in self._seen
        path = self._api_path(split_name(repository)[0]) + ("?force" if overwrites else "")
        content_type, body = _form(package, provenance) if provenance else ("application/gzip", package)
        try:
            self._ask("POST", path, {"Content-Type": content_type}, body, ok=(200, 201, 202), check=check).close()
        except Rejected as problem:
            if problem.status == 409:
                if self._is_there(repository, version):
                    return  # a try before this one arrived, its answer did not
                problem.hint = KEPT_HINT if overwrites else TAKEN_HINT
            raise _without_api(problem) from None
        except (NotFound, ServerFault) as problem:
            raise _without_api(problem) from None

    def _is_there(self, repository: str, version: Version) -> bool:
        """By the index as it is now: this version, with this package."""
        namespace, name = split_name(repository)
        there = self._index(namespace, anew=True).charts.get(name, {}).get(tag_of(version.version))
        return there is not None and version.digest in ("", there.digest)


class ChartClient(ChartWriting):
    """The client of a chart repository over HTTP, whose chart versions are seen as OCI charts."""


def _package_of(held: str, read: Callable[[], Manifest]) -> str:
    """The digest of the package that a manifest of the source has; blank when it has none, or is gone."""
    known = MEMORY.inside.get(held)
    if known is None:
        try:
            known = chart_layer(read())
        except (InvalidManifest, NotFound):
            return ""
        MEMORY.inside.put(held, known)
    return known


def _exactly(descriptor: Descriptor, blocks: Iterable[Any]) -> Iterator[bytes]:
    """The bytes of a blob when they are what the descriptor tells. Raises DigestMismatch."""
    content = bytearray()
    for block in blocks:
        content += block
        if len(content) > descriptor.size:
            break
    if len(content) != descriptor.size or digest_of(bytes(content), descriptor.digest) != descriptor.digest:
        raise DigestMismatch("the bytes to send are not what the manifest tells")
    yield bytes(content)


def _fitting_version(package: bytes, repository: str, tag: str) -> str:
    """A chart repository files a package under what its Chart.yaml says."""
    name, version = name_and_version(package)
    wanted = split_name(check_repository(repository))[1]
    if (name, tag_of(version)) != (wanted, check_tag(tag)):
        raise InvalidManifest(
            f"the package says that it is {name} {version}, a chart repository cannot keep it as {wanted} {tag}",
            hint="Leave this tag out of the rule; tags of charts are their versions.",
        )
    return version


def _form(package: bytes, provenance: bytes) -> tuple[str, bytes]:
    """Content type and body of a form with both files (RFC 7578)."""
    boundary = f"chart-{token_hex(16)}".encode()
    body = b""
    for name, content in ((b"chart", package), (b"prov", provenance)):
        body += b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n' % (boundary, name, name)
        body += b"Content-Type: application/octet-stream\r\n\r\n%b\r\n" % content
    return f"multipart/form-data; boundary={boundary.decode()}", body + b"--%b--\r\n" % boundary


def _without_api(problem: OciError) -> OciError:
    if problem.status in NO_API:
        problem.hint, problem.retryable = NO_API_HINT, False
    return problem
