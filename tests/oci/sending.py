"""A blob on its way from a source that understands Range."""

import re

from sync.oci.blob_reading import BlobReader
from sync.oci.client import Client, Endpoint
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.oci.artifacts import blob

MEBIBYTE = 1024 * 1024
CONTENT = bytes(range(256)) * 10_000
LARGE = blob(CONTENT)
SMALL = blob(b"small")
SOURCE = f"/v2/from/blobs/{LARGE.digest}"
EDGES = [0, 1, len(CONTENT) // 2, len(CONTENT) - 1]


def serve(request: Received) -> Answer:
    told = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    start = int(told[1]) if told else 0
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if told else {}
    return Answer(206 if told else 200, headers, CONTENT[start:])


def reader(origin: FakeRegistry) -> BlobReader:
    return Client(Endpoint(origin.url, name="from"), side="source").blob_reader("from", LARGE)


def send(origin: FakeRegistry, target: FakeRegistry, **options) -> None:
    Client(Endpoint(target.url, name="to"), side="target", **options).upload("a", LARGE, reader(origin))


def starts(origin: FakeRegistry) -> list[int]:
    """Where each reading of the blob began."""
    return [int(one.headers.get("Range", "bytes=0-")[6:-1]) for one in origin.received("GET")]
