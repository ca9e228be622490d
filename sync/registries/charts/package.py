"""What is inside a chart's package (.tgz), read as a stream and no further than a chart can be."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sync.oci.errors import InvalidManifest

MEBIBYTE = 1024 * 1024
# Helm's own limits: of a whole chart when unpacked, and of one file.
UNPACKED_LIMIT = 100 * MEBIBYTE
CHART_YAML_LIMIT = MEBIBYTE
LONG_NAME_LIMIT = 64 * 1024
BLOCK = 512
MOST_FILES = 100_000

WANTED = ("Chart.yaml", "requirements.yaml")
_NAMES_FOLLOWING = {tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME}
_EXTENSIONS = {*_NAMES_FOLLOWING, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.SOLARIS_XHDTYPE}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Inside:
    """modified: when Chart.yaml was written, in seconds since the epoch; 0 where the package does not tell."""

    chart_yaml: bytes
    requirements: bytes = b""
    modified: int = 0


def look_inside(package: bytes) -> Inside:
    """Raises InvalidManifest for what is no chart, or unpacks to more than a chart may."""
    found: dict[str, tuple[bytes, int]] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(package)) as unpacked:
            for name, content, modified in _wanted_files(_Tar(unpacked)):
                if name in found:
                    raise InvalidManifest(f"the package has {name} more than once")
                found[name] = content, modified
    except (OSError, EOFError, zlib.error, tarfile.TarError) as problem:
        raise InvalidManifest(f"the package is no tar.gz: {problem}") from problem
    if WANTED[0] not in found:
        raise InvalidManifest("the package has no Chart.yaml: it is no chart")
    chart_yaml, modified = found[WANTED[0]]
    return Inside(chart_yaml, found.get(WANTED[1], (b"", 0))[0], max(0, modified))


def _wanted_files(tar: _Tar) -> Iterator[tuple[str, bytes, int]]:
    for entry in tar.entries():
        name = re.split(r"[\\/]", entry.name, maxsplit=1)[-1] if re.search(r"[\\/]", entry.name) else ""
        if name in WANTED and entry.isreg():
            if entry.size > CHART_YAML_LIMIT:
                raise InvalidManifest(f"{name} is larger than {CHART_YAML_LIMIT} bytes")
            yield name, tar.content(entry).removeprefix(_BOM), int(entry.mtime)


class _Tar:
    """Python's own reader holds whatever an extension header claims to be long in memory; this one does not."""

    def __init__(self, unpacked: gzip.GzipFile) -> None:
        self._unpacked = unpacked
        self._left = UNPACKED_LIMIT
        self._rest = 0

    def entries(self) -> Iterator[tarfile.TarInfo]:
        longer = ""
        for _ in range(MOST_FILES):
            self._skip(self._rest)
            block = self._take(BLOCK)
            if len(block) < BLOCK or not block.strip(b"\0"):
                return
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
            # Anything but a file, or what says more of one, may tell a size that does not follow.
            has_content = entry.isreg() or entry.type in _EXTENSIONS
            self._rest = -(-entry.size // BLOCK) * BLOCK if has_content else 0
            if entry.type in _EXTENSIONS:
                longer = self._longer_name(entry) or longer
                continue
            entry.name, longer = longer or entry.name, ""
            yield entry
        raise InvalidManifest(f"the package has more than {MOST_FILES} files")

    def content(self, entry: tarfile.TarInfo) -> bytes:
        content = self._take(entry.size)
        if len(content) < entry.size:
            raise InvalidManifest("the package ends in the middle of a file")
        self._rest -= entry.size
        return content

    def _longer_name(self, entry: tarfile.TarInfo) -> str:
        if entry.type not in _NAMES_FOLLOWING or entry.size > LONG_NAME_LIMIT:
            return ""
        content = self.content(entry)
        if entry.type == tarfile.XHDTYPE:
            told = re.search(rb"(?:^|\n)\d+ path=([^\n]*)\n", content)
            content = told[1] if told else b""
        return content.rstrip(b"\0").decode("utf-8", "replace")

    def _take(self, size: int) -> bytes:
        self._spend(size)
        return self._unpacked.read(size)

    def _skip(self, size: int) -> None:
        self._spend(size)
        while size > 0 and (got := len(self._unpacked.read(min(size, MEBIBYTE)))):
            size -= got

    def _spend(self, size: int) -> None:
        self._left -= size
        if size < 0 or self._left < 0:
            raise InvalidManifest(f"the package unpacks to more than {UNPACKED_LIMIT // MEBIBYTE} MiB")
