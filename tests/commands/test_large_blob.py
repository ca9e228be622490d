"""A worker is told to end, or its task to stop, in the middle of a blob of 5 GB."""

import json
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import monotonic

import pytest

from tests.commands.support import Console
from tests.fakes.registry import Answer, FakeRegistry
from tests.support import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

MEBIBYTE = bytes(1024 * 1024)
LAYER, CONFIG = f"sha256:{'5' * 64}", f"sha256:{sha256(b'{}').hexdigest()}"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
WORKER = ("rqworker", "control", "push", "default", "--worker-class", "sync.queue.Worker", "--verbosity", "0")


@pytest.fixture
def source(namespace: str) -> Iterator[FakeRegistry]:
    """Holds one image, whose layer nobody ever comes to the end of here."""
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": LAYER, "size": 5120 * len(MEBIBYTE)}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": CONFIG, "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer]}
    body = json.dumps(manifest).encode()
    told = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": f"sha256:{sha256(body).hexdigest()}"}
    with FakeRegistry() as fake:
        image = f"/v2/{namespace}/web"
        fake.script("GET", "/v2/", Answer())
        fake.script("GET", "/v2/_catalog", Answer(body=json.dumps({"repositories": [f"{namespace}/web"]}).encode()))
        fake.script("GET", f"{image}/tags/list", Answer(body=b'{"tags": ["huge"]}'))
        for method in ("HEAD", "GET"):
            fake.script(method, f"{image}/manifests/", Answer(headers=told, body=body))
        fake.script("GET", f"{image}/blobs/{CONFIG}", Answer(body=b"{}"))
        fake.script("GET", f"{image}/blobs/{LAYER}", Answer(body=MEBIBYTE, repeat=5120))
        yield fake


def sent(folder: Path) -> int:
    """Bytes in open uploads of a registry's folder."""
    return sum(data.stat().st_size for data in folder.rglob("_uploads/*/data"))


@pytest.fixture
def folder(console: Console, source: FakeRegistry, namespace, start_registry, tmp_path) -> Iterator[Path]:
    """A worker is in the middle of the blob; the folder of the target, whose upload is gone afterwards."""
    folder = tmp_path / "target"
    target = start_registry(data_dir=folder)
    console.load(source.url, target.url, namespace)
    assert console.manage("bulk_sync", "--rule", namespace).returncode == 0
    yield folder
    wait_until(lambda: not sent(folder), 5, "the upload being given up")


def test_a_worker_that_is_told_to_end_gives_it_back(console, folder):
    with console.begun(*WORKER) as worker:
        wait_until(lambda: sent(folder) > len(MEBIBYTE), 30, "bytes of the layer arriving")
        began = monotonic()
        worker.send_signal(signal.SIGTERM)
        worker.wait(10)
        assert monotonic() - began < 10
    parts = "TaskPart.objects.filter(task=SyncTask.objects.latest('pk'))"
    state = f"list({parts}.values_list('task__status', 'repository__status', 'tags', 'claim', 'lost_owners'))"
    assert console.inside(state) == [["synchronizing", "waiting", ["huge"], "", 0]]


def test_its_task_is_stopped_within_five_seconds(console, folder):
    with console.begun(*WORKER):
        wait_until(lambda: sent(folder) > len(MEBIBYTE), 30, "bytes of the layer arriving")
        task = console.inside("SyncTask.objects.latest('pk').pk")
        stopped = console.manage("stop_task", str(task))
        assert stopped.returncode == 0, stopped.stderr
    asked = f"LogLine.objects.get(task={task}, message__startswith='Asked to stop').at"
    seconds = f"(SyncTask.objects.get(pk={task}).finished_at - {asked}).total_seconds()"
    status, seconds = console.inside(f"[SyncTask.objects.get(pk={task}).status, {seconds}]")
    assert (status, seconds < 5) == ("stopped", True), seconds
