"""index.yaml: large ones in little memory, and what is none."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sync.oci.errors import ProtocolViolation, Unreachable
from sync.registries.charts.index import Version, read_index
from tests.fakes.registry import Answer, FakeRegistry
from tests.kinds.charts import charts, entry, index, package

WEB = package("web", "1.0.0")
DIGEST = "ab" * 32


def read(text):
    return read_index(io.BytesIO(text.encode() if isinstance(text, str) else text), "charts")


def versions(*entries):
    return "apiVersion: v1\nentries:\n  web:\n" + "".join(f"  - {one}\n" for one in entries)


def test_what_leads_to_a_package_is_kept_and_nothing_else():
    text = f"""
        apiVersion: v1
        entries:
          web:
          - name: web
            version: 1.0.0+a
            digest: {DIGEST}
            created: 2025-01-01T00:00:00Z
            urls: [charts/web.tgz, https://other.example/web.tgz]
            maintainers: [{{name: x, version: wrong, urls: [no]}}]
            annotations: {{digest: wrong}}
          - {{version: '2', urls: [b.tgz], digest: 'sha256:{DIGEST.upper()}', created: null}}
          empty: []
          nothing:
        generated: now
    """
    assert read(text) == {
        "web": {
            "1.0.0_a": Version("1.0.0+a", "charts/web.tgz", f"sha256:{DIGEST}", "2025-01-01T00:00:00Z"),
            "2": Version("2", "b.tgz", f"sha256:{DIGEST}", ""),
        }
    }


def test_json_is_read_too():
    document = {"apiVersion": "v1", "entries": {"web": [entry("web", "1.0.0", WEB)]}}
    assert list(read(json.dumps(document))["web"]) == ["1.0.0"]


def test_what_is_no_version_is_left_out_with_a_word_in_the_log(caplog):
    text = versions(
        "just text",
        "[a list]",
        "{version: 1.0.0}",
        "{version: 1.0.0, urls: []}",
        "{version: 1.0.0, urls: {a: b}}",
        "{version: [1], urls: [a.tgz]}",
        "{urls: [a.tgz]}",
        "&one {version: 2.0.0, urls: [first.tgz]}",
        "{version: 2.0.0, urls: [second.tgz]}",
        "*one",
        "{version: 3.0.0, ? [odd, key] : x, urls: [c.tgz]}",
    )
    assert {tag: one.url for tag, one in read(text)["web"].items()} == {"2.0.0": "first.tgz", "3.0.0": "c.tgz"}
    assert "3 versions that are no object" in caplog.text
    assert "5 versions without version or address" in caplog.text
    assert "1 versions that are listed twice" in caplog.text
    assert read("entries: {web: {a: b}, db: text}") == {}
    assert "2 charts whose versions are no list" in caplog.text


@pytest.mark.parametrize("text", ["apiVersion: v1", "apiVersion: v1\nentries: {}", "entries:", "entries: []"])
def test_an_empty_repository(text):
    assert read(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "- a list",
        "a: b",
        "<html><body>",
        "entries: {web: [",
        "entries:\n\t- tab",
        b"\xff\xfe\x00\xd8",
        b"\x00\x01",
        b"entries: " + b"[" * 100_000,
        b"a: " + b"{b: " * 100_000,
        b"[" * 100_000,
        b"? " * 100_000,
        "entries: {" + "? {a: " * 200,
    ],
    ids=range(14),
)
def test_what_is_no_index_says_so(text):
    with pytest.raises(ProtocolViolation):
        read(text)


def test_aliases_are_not_followed():
    """A bomb of them is as small as it looks."""
    bomb = "a: &a [x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join(['*a' + (str(n - 1) if n else '')] * 9)}]\n" for n in range(50)
    )
    assert read(f"{bomb}apiVersion: v1\nentries: {{web: [{{version: *a, urls: [x]}}], db: *a9}}") == {}


def test_more_versions_than_any_repository_has(monkeypatch):
    monkeypatch.setattr("sync.registries.charts.index.MOST_VERSIONS", 2)
    with pytest.raises(ProtocolViolation, match="more than 2"):
        read(versions(*(f"{{version: 1.{number}.0, urls: [x]}}" for number in range(3))))


def test_an_index_that_comes_compressed_or_breaks_off(monkeypatch):
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 0.01)
    body = index({"web": [entry("web", "1.0.0", WEB)]})
    with FakeRegistry() as fake:
        fake.script("GET", "/index.yaml", Answer(200, {"Content-Encoding": "gzip"}, gzip.compress(body)))
        assert list(charts(fake.url).repositories("/")) == ["web"]
        fake.script("GET", "/index.yaml", Answer(200, {"Content-Encoding": "gzip"}, body))
        with pytest.raises(ProtocolViolation):
            list(charts(fake.url).repositories("/"))
        fake.script("GET", "/index.yaml", Answer(body=body, cut=100), Answer(body=body))
        assert list(charts(fake.url).repositories("/")) == ["web"]
        fake.script("GET", "/index.yaml", Answer(body=body, cut=100))
        with pytest.raises(Unreachable):
            list(charts(fake.url).repositories("/"))


@pytest.mark.parametrize("packed", [False, True])
def test_an_index_that_does_not_end_is_given_up(packed, monkeypatch):
    monkeypatch.setattr("sync.registries.charts.indexes.INDEX_LIMIT", 1_000_000)
    body = b"apiVersion: v1\nentries: {}\n" + b"# comment\n" * 200_000
    with FakeRegistry() as fake:
        headers = {"Content-Encoding": "gzip"} if packed else {}
        fake.script("GET", "/index.yaml", Answer(200, headers, gzip.compress(body) if packed else body))
        with pytest.raises(ProtocolViolation, match=r"index\.yaml"):
            list(charts(fake.url).repositories("/"))


READ_LARGE = """
import resource, sys
from sync.oci.client import Endpoint
from sync.registries import open_registry
client = open_registry("charts", Endpoint(sys.argv[1])).client
before = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
count = sum(1 for name in client.catalog() for tag in client.tags(name))
after = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
print(count, before // 1024, after // 1024)
"""


def test_an_index_of_20_mb_with_30000_versions_takes_little_memory(site):
    site.folder.joinpath("index.yaml").write_text(large_index(300, 100))
    assert site.folder.joinpath("index.yaml").stat().st_size > 20_000_000
    project = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ_LARGE, site.url], cwd=project, capture_output=True, text=True, check=True
    )
    count, before, after = map(int, done.stdout.split())
    assert count == 30_000
    assert after < 80, f"{after} MiB, {before} of them before"


def large_index(names: int, each: int) -> str:
    about = "\n".join(f"      line {number} of what somebody tells about this chart" for number in range(5))
    lines = ["apiVersion: v1", "entries:"]
    for name in range(names):
        lines.append(f"  chart-{name}:")
        for number in range(each):
            lines.append(
                f"  - apiVersion: v2\n    appVersion: {number}.0.1\n    created: '2024-01-01T00:00:00.{number:09d}Z'\n"
                f"    description: |\n{about}\n    digest: {name:032x}{number:032x}\n"
                f"    keywords:\n    - one\n    - two\n    maintainers:\n    - email: somebody@example.org\n"
                f"      name: Some Body\n    name: chart-{name}\n    type: application\n    urls:\n"
                f"    - https://charts.example/packages/chart-{name}-0.{number}.0.tgz\n    version: 0.{number}.0"
            )
    return "\n".join(lines)
