"""One image with one very large layer, which exists nowhere: the source makes it up while it is read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from demo.artifacts import OCI_MANIFEST, Artifact, Blob, digest_of
from demo.content import Tagged
from tests.bench.corpus import MEGABYTE, NAMESPACE
from tests.bench.lane import PHASES, Contestant, Lane
from tests.bench.registry import empty_registry, wrong_digests
from tests.fakes.registry import Answer, FakeRegistry

BLOCK = bytes(MEGABYTE)
REPOSITORY, TAG = f"{NAMESPACE}/model", "1.0.0"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def run(contestants: Sequence[Contestant], megabytes: int, disk: Path) -> Iterator[str]:
    """Copies it once by each contestant, to a registry that stores it on the disk. Raises measure.Failed."""
    print(f"making up the digest of {megabytes} MB ...", flush=True)
    image = _image(megabytes)
    yield f"huge: one blob of {megabytes} MB"
    yield f"{'':15} {'wall s':>8} {'MB/s':>6} {'CPU s':>7} {'peak MB':>8}"
    with _source(image, megabytes) as source:
        for contestant in contestants:
            yield _copied(contestant, source, image, megabytes, disk)


def _copied(contestant: Contestant, source: str, image: Artifact, megabytes: int, disk: Path) -> str:
    with empty_registry(disk) as target:
        usage = contestant.sync(Lane(f"huge.{contestant.name.replace(' ', '-')}", PHASES[0], source, target.url))
        wrong = wrong_digests(target.host, [Tagged(REPOSITORY, TAG, image)])
    speed, peak = megabytes / usage.wall, usage.peak / MEGABYTE
    verdict = f"  WRONG: {wrong[0]}" if wrong else ""
    return f"  {contestant.name:13} {usage.wall:8.2f} {speed:6.0f} {usage.cpu:7.2f} {peak:8.0f}{verdict}"


def _image(megabytes: int) -> Artifact:
    digest = sha256()
    for _ in range(megabytes):
        digest.update(BLOCK)
    layer = {"mediaType": LAYER_TYPE, "digest": f"sha256:{digest.hexdigest()}", "size": megabytes * len(BLOCK)}
    config = Blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}).encode())
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer],
    }
    return Artifact(json.dumps(body).encode(), OCI_MANIFEST, (config,))


@contextmanager
def _source(image: Artifact, megabytes: int) -> Iterator[str]:
    told = {"Content-Type": image.media_type, "Docker-Content-Digest": digest_of(image.body)}
    (config,) = image.blobs
    layer = json.loads(image.body)["layers"][0]["digest"]
    with FakeRegistry() as fake:
        home = f"/v2/{REPOSITORY}"
        fake.script("GET", "/v2/", Answer())
        fake.script("GET", "/v2/_catalog", Answer(body=json.dumps({"repositories": [REPOSITORY]}).encode()))
        fake.script("GET", f"{home}/tags/list", Answer(body=json.dumps({"tags": [TAG]}).encode()))
        for method in ("HEAD", "GET"):
            fake.script(method, f"{home}/manifests/", Answer(headers=told, body=image.body))
        fake.script("GET", f"{home}/blobs/{config.digest}", Answer(body=config.data))
        fake.script("GET", f"{home}/blobs/{layer}", Answer(body=BLOCK, repeat=megabytes))
        yield fake.url
