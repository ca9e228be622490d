"""Chart packages, an index over them, a real web server for both, and the engine run from kind to kind."""

import io
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from gzip import compress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from sync.oci.client import Credential, Endpoint
from sync.registries import Registry, open_registry
from sync.replication.events import Event, Tick
from sync.replication.plan import list_repositories
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.replication.support import Ran, spec
from tests.support import wait_until

PACKED = 1_735_689_600  # 2025-01-01T00:00:00Z
PROVENANCE = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\nversion: 1.0.0\n...\n"


def pack(files: Mapping[str, bytes], modified: int = PACKED) -> bytes:
    """A .tgz of the files, given as path: content."""
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode = len(content), modified, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return compress(unpacked.getvalue(), mtime=0)


def package(name: str, version: str, text: str = "", modified: int = PACKED, **more: Any) -> bytes:
    """A chart whose content depends on the text."""
    about = {"apiVersion": "v2", "name": name, "version": version, "description": f"Deploys {name}", **more}
    files = {"Chart.yaml": yaml.safe_dump(about, sort_keys=False).encode(), "values.yaml": f"text: {text!r}".encode()}
    return pack({f"{name}/{path}": content for path, content in files.items()}, modified)


def entry(name: str, version: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A version as an index lists it, below charts/."""
    told = {"urls": [f"charts/{name}-{version}.tgz"], "digest": sha256(content).hexdigest()}
    about = {"apiVersion": "v2", "name": name, "version": version, "created": "2025-02-03T04:05:06.789Z"}
    return {key: value for key, value in (about | told | more).items() if value is not None}


def index(entries: Mapping[str, list[dict[str, Any]]]) -> bytes:
    return yaml.safe_dump({"apiVersion": "v1", "entries": dict(entries), "generated": "2025-01-01T00:00:00Z"}).encode()


class Site:
    """A folder, served by `python -m http.server`: its address, and what was asked for."""

    def __init__(self, folder: Path, log: Path, url: str) -> None:
        self.folder, self.url, self._log = folder, url, log

    def publish(self, packages: Mapping[tuple[str, str], bytes], **more: Any) -> None:
        """Writes the packages by name and version, and their index."""
        entries: dict[str, list[dict[str, Any]]] = {}
        (self.folder / "charts").mkdir(exist_ok=True)
        for (name, version), content in packages.items():
            (self.folder / f"charts/{name}-{version}.tgz").write_bytes(content)
            entries.setdefault(name, []).append(entry(name, version, content, **more))
        (self.folder / "index.yaml").write_bytes(index(entries))

    @property
    def asked(self) -> list[str]:
        return re.findall(r'"GET (\S+) HTTP', self._log.read_text())

    def told(self, status: int) -> list[str]:
        return re.findall(rf'"GET (\S+) HTTP/1\.\d" {status}', self._log.read_text())


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[Site]:
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), "0"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: "http://" in log.read_text(), what="the web server")
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            assert found
            yield Site(folder, log, found[0])
        finally:
            process.terminate()


def charts(url: str, side: str = "", credential: str = "", **options: Any) -> Registry:
    who = Credential(*credential.split(":")) if credential else None
    return open_registry("charts", Endpoint(url, name=side or "charts"), who, side=side, **options)


def plain(url: str, side: str) -> Registry:
    return open_registry("registry", Endpoint(url, name=side), side=side)


def run(source: Registry, target: Registry, *, work: Mapping[str, Any] | None = None, **rule: Any) -> Ran:
    """The engine over what matches. work: more about each RepositoryWork."""
    wanted = spec(**{"source_namespace": "/", "target_namespace": "", **rule})
    stop = threading.Event()
    replication = Replication(source, target, wanted, stop, Limits(), Hints())
    waiting = (RepositoryWork(name, **(work or {})) for name in list_repositories(source, wanted))
    events: list[Event] = []
    for event in replication.run(lambda most: list(islice(waiting, most)), lambda: False):
        if not isinstance(event, Tick):
            events.append(event)
    return Ran(events)
