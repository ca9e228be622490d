"""A chart repository as a source: its versions are seen as OCI charts."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from sync.oci.blob_reading import BlobReader
from sync.oci.errors import (
    Denied,
    DigestMismatch,
    ManifestError,
    NotFound,
    OciError,
    ProtocolViolation,
    ResponseTooLarge,
    Unauthorized,
)
from sync.oci.manifest import OCI_MANIFEST, Descriptor, Manifest
from sync.oci.reference import check_repository, digest_of, is_digest
from sync.registries.charts.artifact import Chart, make_chart
from sync.registries.charts.index import Version
from sync.registries.charts.indexes import ChartIndexes, split_name
from sync.registries.charts.shelf import MEMORY, Known, Shelf

MEBIBYTE = 1024 * 1024
PACKAGE_LIMIT = 20 * MEBIBYTE
PROVENANCE_LIMIT = MEBIBYTE
# Packages that are kept from the look at their manifest until they are copied, of one client.
PACKAGES_KEPT = 32 * MEBIBYTE
SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
LARGE_HINT = f"Charts of up to {PACKAGE_LIMIT // MEBIBYTE} MiB are copied."


class PackageMissing(OciError):
    """Not the same as a chart that is gone."""

    hint = "Let the repository make its index.yaml anew, or upload the chart again."


class ChartReading(ChartIndexes):
    """What the engine asks a source, answered from index.yaml and the packages that it lists."""

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)
        self._packages: Shelf[str, bytes] = Shelf(PACKAGES_KEPT, len)
        self._tags_of_blobs: Shelf[str, str] = Shelf(50_000)

    def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        with self._doing(f"look up chart {_named(repository, reference)}"):
            version = self._version(repository, reference)
            if version is None:
                return None
            known = self._known(repository, version)
            return Descriptor(OCI_MANIFEST, known.digest, known.size)

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        with self._doing(f"read chart {_named(repository, reference)}"):
            version = self._version(repository, reference)
            if version is None:
                raise NotFound("the index does not list it", status=404, code="MANIFEST_UNKNOWN")
            manifest = self._chart(repository, version).manifest
            for blob in manifest.blobs:
                self._tags_of_blobs.put(blob.digest, version.version)
            return manifest

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Nothing refers to a chart: its signature is the provenance file, a layer of it."""
        return []

    def blob_reader(self, repository: str, descriptor: Descriptor) -> BlobReader:
        return PartReader(self, repository, descriptor)

    def read_blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        for block in self.blob_reader(repository, descriptor)(offset):
            yield bytes(block)

    def part(self, repository: str, descriptor: Descriptor) -> bytes:
        """The bytes of a package, a provenance file or a configuration. Raises NotFound, DigestMismatch."""
        digest = descriptor.digest
        with self._doing(f"read {repository}@{digest}"):
            kept = self._packages.get(digest)
            if kept is not None:
                return kept
            for version in self._versions_with(repository, digest):
                parts = self._make(repository, version)[1]
                if digest in parts:
                    return parts[digest]
            raise NotFound("no chart of the index has it", status=404, code="BLOB_UNKNOWN")

    def _versions_with(self, repository: str, digest: str) -> Iterator[Version]:
        """Most probable first: the one whose manifest named the blob, then any."""
        versions = list(self._versions(repository))
        named = self._tags_of_blobs.get(digest)
        versions.sort(key=lambda one: (one.version != named, one.digest != digest))
        return iter(versions)

    def _version(self, repository: str, reference: str) -> Version | None:
        find = self._by_digest if is_digest(reference) else self._tagged
        return find(repository, reference)

    def _by_digest(self, repository: str, digest: str) -> Version | None:
        """Those whose manifests are known first; in another process than the one that told the digest none may be."""
        versions = list(self._versions(repository))
        unknown = []
        for version in versions:
            known = MEMORY.known.get(self._key(repository, version))
            if known is None:
                unknown.append(version)
            elif known.digest == digest:
                return version
        return next((one for one in unknown if self._comes_to(repository, one, digest)), None)

    def _comes_to(self, repository: str, version: Version, digest: str) -> bool:
        """What cannot be read is another chart's trouble."""
        try:
            return self._known(repository, version).digest == digest
        except (DigestMismatch, ManifestError, PackageMissing, ProtocolViolation):
            return False

    # packages

    def _key(self, repository: str, version: Version) -> bytes:
        """The time in an index counts where there is no digest: it changes with each index that is made anew."""
        told = version.digest or version.created
        address = f"{self.endpoint.url}\n{repository}\n{version.url}\n{told}"
        return sha256(address.encode("utf-8", "replace")).digest()

    def _remembered(self, repository: str, version: Version) -> Known | None:
        """Where the index tells neither digest nor time, the package has to be fetched each time."""
        return MEMORY.known.get(self._key(repository, version)) if version.digest or version.created else None

    def _known(self, repository: str, version: Version) -> Known:
        """What the package comes to."""
        known = self._remembered(repository, version)
        if known is None:
            manifest = self._make(repository, version)[0].manifest
            known = Known(manifest.digest, manifest.size)
        return known

    def _chart(self, repository: str, version: Version) -> Chart:
        known = self._remembered(repository, version)
        return (MEMORY.charts.get(known.digest) if known else None) or self._make(repository, version)[0]

    def _make(self, repository: str, version: Version) -> tuple[Chart, dict[str, bytes]]:
        """The chart, and its parts by their digests; remembered."""
        namespace, _ = split_name(repository)
        url = self._package_url(namespace, version.url)
        package = self._package(url, version)
        provenance = self._provenance(url)
        chart = make_chart(package, provenance)
        parts = {digest_of(part): part for part in (package, provenance, chart.config) if part}
        for digest, part in parts.items():
            self._packages.put(digest, part)
        MEMORY.charts.put(chart.manifest.digest, chart)
        MEMORY.inside.put(chart.manifest.digest, digest_of(package))
        MEMORY.known.put(self._key(repository, version), Known(chart.manifest.digest, chart.manifest.size))
        return chart, parts

    def _package(self, url: str, version: Version) -> bytes:
        try:
            found = self._read_file(url, PACKAGE_LIMIT, "the chart's package")
        except ResponseTooLarge as problem:
            problem.hint = LARGE_HINT
            raise
        except NotFound as problem:
            raise PackageMissing("the index lists it, its package is not there", status=problem.status) from None
        right = [one for one in found if version.digest in ("", digest_of(one))]
        if not right:
            told = f"the index tells {version.digest}, the package has {digest_of(found[0])}"
            raise DigestMismatch(told, hint="Let the repository make its index.yaml anew.")
        # Untold, what was packed twice is what is inside.
        return right[-1] if right[-1].startswith(b"\x1f\x8b") else right[0]

    def _provenance(self, url: str) -> bytes:
        """Blank where there is none; storage that hides what it lacks says that it is denied."""
        base, mark, query = url.partition("?")
        try:
            found = self._read_file(f"{base}.prov{mark}{query}", PROVENANCE_LIMIT, "the provenance file")
        except (NotFound, Denied, Unauthorized, ResponseTooLarge):
            return b""
        except OciError as problem:
            if problem.status in (400, 410):
                return b""
            raise
        return next((one for one in found if one.startswith(SIGNED)), b"")


class PartReader(BlobReader):
    """A part of a chart, held whole."""

    def __init__(self, charts: ChartReading, repository: str, descriptor: Descriptor) -> None:
        self._charts = charts
        self._repository = check_repository(repository)
        self._descriptor = descriptor

    def __call__(self, offset: int) -> Iterator[memoryview]:
        content = memoryview(self._charts.part(self._repository, self._descriptor))
        for start in range(offset, len(content), MEBIBYTE):
            self._charts.check_cancelled()
            yield content[start : start + MEBIBYTE]


def _named(repository: str, reference: str) -> str:
    return f"{repository}{'@' if is_digest(reference) else ':'}{reference}"
