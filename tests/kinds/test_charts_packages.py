"""Packages that are none, or want too much."""

import gzip
import io
import tarfile

import pytest

from sync.oci.errors import InvalidManifest
from sync.registries.charts.package import look_inside
from tests.kinds.charts import PACKED, pack

CHART = b"name: web\nversion: 1.0.0\n"


def tar(*entries, form=tarfile.PAX_FORMAT):
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=form) as archive:
        for name, content, kind in entries:
            one = tarfile.TarInfo(name)
            one.size, one.type, one.mtime = len(content), kind, PACKED
            archive.addfile(one, io.BytesIO(content))
    return gzip.compress(unpacked.getvalue())


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_the_chart_is_found_among_what_else_there_is(form):
    long = "web/" + "folder/" * 20 + "file" if form != tarfile.USTAR_FORMAT else "web/file"
    found = look_inside(
        tar(
            ("web", b"", tarfile.DIRTYPE),
            (long, b"x" * 2000, tarfile.REGTYPE),
            ("web/charts/sub/Chart.yaml", b"name: sub", tarfile.REGTYPE),
            ("web/link", b"", tarfile.SYMTYPE),
            ("web/Chart.yaml", CHART, tarfile.REGTYPE),
            form=form,
        )
    )
    assert (found.chart_yaml, found.modified) == (CHART, PACKED)


def test_a_name_that_is_told_apart_counts():
    """As GNU tar and pax write long ones."""
    folder = "w" * 150
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert look_inside(tar((f"{folder}/Chart.yaml", CHART, tarfile.REGTYPE), form=form)).chart_yaml == CHART


def zeros(mebibytes):
    block = bytes(1024 * 1024)
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=9) as archive:
        entry = tarfile.TarInfo("web/zeros")
        entry.size = mebibytes * len(block)
        archive.write(entry.tobuf())
        for _ in range(mebibytes):
            archive.write(block)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("package", "words"),
    [
        (b"", "no Chart.yaml"),
        (b"<html>", "no tar.gz"),
        (gzip.compress(b"x" * 5000), "no tar.gz"),
        (pack({"web/values.yaml": b""}), "no Chart.yaml"),
        (pack({"Chart.yaml": CHART}), "no Chart.yaml"),
        (pack({"web/Chart.yaml": CHART, "other/Chart.yaml": CHART}), "more than once"),
        (pack({"web/Chart.yaml": b"#" * 1_048_577}), "larger than"),
        (pack({"web/Chart.yaml": CHART})[:-40], "no tar.gz"),
        (zeros(101), "more than 100 MiB"),
    ],
    ids=["empty", "a page", "no tar", "no chart", "not in a folder", "two charts", "large", "cut", "bomb"],
)
def test_what_is_no_chart_says_so(package, words):
    with pytest.raises(InvalidManifest, match=words):
        look_inside(package)
