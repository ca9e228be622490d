"""The client of one registry: listing, manifests, referrers and blobs over one set of connections."""

from __future__ import annotations

from sync.oci.auth import Credential
from sync.oci.blob_api import BlobApi
from sync.oci.blob_reading import BlobReader
from sync.oci.blob_sending import Content, Upload
from sync.oci.list_api import ListApi
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
    """
