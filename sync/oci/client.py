"""The client of one registry: listing, manifests, referrers and blobs over one set of connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sync.oci.auth import Credential
from sync.oci.blob_api import BlobApi
from sync.oci.blob_reading import BlobReader
from sync.oci.blob_sending import Content, Upload
from sync.oci.list_api import ListApi
from sync.oci.manifest import Manifest
from sync.oci.manifest_api import ManifestApi, Pushed
from sync.oci.places import Endpoint
from sync.oci.session import MANIFEST_LIMIT

__all__ = ["MANIFEST_LIMIT", "BlobReader", "Client", "Content", "Credential", "Endpoint", "Pushed", "Upload"]


class Client(ListApi, ManifestApi, BlobApi):
    """Client(endpoint, credential=None, *, side="", cancelled=..., manifest_limit=4 MiB, attempts=4, limits=NO_LIMITS).

    side: "source" or "target", for messages and for the scopes asked for. cancelled: asked
    between requests and blocks; when it says True, Cancelled is raised. attempts: per request, the first one counted.
    limits: what it may do to the registry (sync.oci.guest).
    Safe for many threads. Every failure is an OciError that names side, registry and operation.

    keeps_parts: whether blobs and manifests stay under their digests. Where they do not, each tag brings its own blobs,
    nothing can refer to it, and the same content may stand under another digest than in the source.
    """

    keeps_parts: ClassVar[bool] = True

    def look_beside(self, repository: str, tag: str, held: str, read: Callable[[], Manifest]) -> str:
        """The digest of a tag of the target, blank when there is none; `held` where it has the content of that one.

        held: the digest of what the source holds; read: gives its manifest, where digests alone do not tell.
        """
        there = self.head_manifest(repository, tag)
        return there.digest if there else ""

    def expect(self, repository: str, manifest: Manifest) -> None:
        """Told before the blobs of a manifest come that is to be written under a tag."""

    def expect_no_more(self, repository: str, manifest: Manifest) -> None:
        """Told for each such time when it was written, or will not be, whichever of its blobs have come."""
