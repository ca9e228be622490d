"""The storage of a registry (CNCF distribution, filesystem driver), written and mended past the registry.

Written past it, thousand images take seconds, and a tag moves in one step (the registry itself rewrites its link files
in place, so that who reads in that instant finds nothing).
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from demo.artifacts import Artifact

ROOT = Path("docker/registry/v2")


class Shelf:
    """`folder`: the data_dir of a RegistryServer."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "content" / ROOT

    def put(self, repository: str, artifact: Artifact, tag: str = "") -> None:
        """Children and blobs first, the tag last, each file in one step."""
        home = self._root / "repositories" / repository
        for child in artifact.children:
            self.put(repository, child)
        for blob in artifact.blobs:
            self._store(blob.digest, blob.data)
            _link(home / "_layers" / _path(blob.digest), blob.digest)
        self._store(artifact.digest, artifact.body)
        _link(home / "_manifests" / "revisions" / _path(artifact.digest), artifact.digest)
        if tag:
            _link(home / "_manifests" / "tags" / tag / "index" / _path(artifact.digest), artifact.digest)
            _link(home / "_manifests" / "tags" / tag / "current", artifact.digest, again=True)

    def _store(self, digest: str, data: bytes) -> None:
        path = self._data(digest)
        if not path.exists():
            _write(path, data)

    def _data(self, digest: str) -> Path:
        algorithm, value = digest.split(":")
        return self._root / "blobs" / algorithm / value[:2] / value / "data"

    def mend(self) -> int:
        """What a registry was killed over in the middle of writing is done, or undone, as other storages would have it.

        The registry rewrites files in place, and lets a tag point somewhere in two steps: first `index`, then
        `current`. An empty link to content that is there may have been whole before, and relied on: it says again what
        its folder says. Other empty files are removed, a tag without `current` gets what was written to its `index`
        last. Gives the number of files and tags that were half written.
        """
        torn = [path for path in self._written_files() if path.stat().st_size == 0]
        for path in torn:
            path.unlink()
        for path in torn:
            digest = f"{path.parent.parent.name}:{path.parent.name}"
            if path.name == "link" and path.parent.name != "current" and self._data(digest).exists():
                _write(path, digest.encode())
        half = [tag for tag in self._root.glob("repositories/**/_manifests/tags/*") if not _is_whole(tag)]
        for tag in half:
            versions = list(tag.glob("index/*/*/link"))
            if versions:
                newest = max(versions, key=lambda link: link.stat().st_mtime_ns)
                _write(tag / "current" / "link", newest.read_bytes())
            else:
                shutil.rmtree(tag)
        return len({*torn, *(tag / "current" / "link" for tag in half)})

    def _written_files(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self._root):
            if "_uploads" not in folder:
                yield from (Path(folder) / name for name in names if name in ("link", "data"))


def _is_whole(tag: Path) -> bool:
    return (tag / "current" / "link").exists()


def _path(digest: str) -> str:
    return digest.replace(":", "/")


def _link(folder: Path, digest: str, *, again: bool = False) -> None:
    path = folder / "link"
    if again or not path.exists():
        _write(path, digest.encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}-{uuid4().hex}")
    unfinished.write_bytes(data)
    unfinished.rename(path)
