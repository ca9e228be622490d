"""A chart repository as a source: a real web server, an OCI registry as the target, skopeo as the judge."""

import gzip
import json
import os
from hashlib import sha256

import pytest

from sync.oci.errors import DigestMismatch, NotFound, OciError, ProtocolViolation, RedirectRefused, Unauthorized
from sync.oci.places import Endpoint
from sync.registries import charts as kind
from sync.registries.charts.shelf import MEMORY
from sync.registries.charts.writing import ChartClient
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.fakes.registry import Answer, FakeRegistry
from tests.kinds.charts import PROVENANCE, charts, entry, index, package, plain, run

pytestmark = pytest.mark.usefixtures("quick_backoff")

WEB = package("web", "1.0.0")


def files_of(folder):
    return {sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "version"}


def test_charts_arrive_as_oci_charts_and_are_unchanged_the_next_time(site, target, namespace, judge, tmp_path):
    build = package("web", "1.1.0+build.5")
    site.publish({("web", "1.0.0"): WEB, ("web", "1.1.0+build.5"): build, ("db", "2.0.0"): package("db", "2.0.0")})
    (site.folder / "charts/web-1.0.0.tgz.prov").write_bytes(PROVENANCE)
    ran = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert ran.outcomes == {"web:1.0.0": "copied", "web:1.1.0_build.5": "copied", "db:2.0.0": "copied"}
    judge.pull(target, f"{namespace}/web:1.0.0", tmp_path / "pulled")
    pulled = files_of(tmp_path / "pulled")
    assert {sha256(WEB).hexdigest(), sha256(PROVENANCE).hexdigest()} <= pulled
    manifest = json.loads(judge.raw(target, f"{namespace}/web:1.1.0_build.5"))
    assert manifest["layers"][0]["digest"] == f"sha256:{sha256(build).hexdigest()}"
    assert manifest["annotations"]["org.opencontainers.image.version"] == "1.1.0+build.5"
    for forget in (False, True):
        if forget:
            MEMORY.forget()
        again = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
        assert (set(again.outcomes.values()), again.moved_bytes) == ({"unchanged"}, 0)


def test_the_second_look_needs_the_index_alone(site, target, namespace):
    """And of that only the answer that it is as it was: the web server tells when it was written."""
    site.publish({("web", f"1.{number}.0"): package("web", f"1.{number}.0") for number in range(5)})
    long_ago = 1_700_000_000
    os.utime(site.folder / "index.yaml", (long_ago, long_ago))
    run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    before = len(site.asked)
    assert len(site.told(304)) == 0
    again = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert set(again.outcomes.values()) == {"unchanged"}
    assert site.asked[before:] == ["/index.yaml"]
    assert site.told(304) == ["/index.yaml"]


def test_an_index_made_anew_over_the_same_packages_changes_nothing(site, target, namespace):
    site.publish({("web", "1.0.0"): WEB})
    run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    site.publish({("web", "1.0.0"): WEB}, created="2026-01-01T00:00:00Z")
    before = len(site.asked)
    again = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert again.outcomes == {"web:1.0.0": "unchanged"}
    assert site.asked[before:] == ["/index.yaml"]


def test_an_etag_is_sent_back():
    with FakeRegistry() as fake:
        body = index({"web": [entry("web", "1.0.0", WEB)]})
        fake.script("GET", "/index.yaml", Answer(200, {"ETag": '"one"'}, body), Answer(304, {"ETag": '"one"'}))
        fake.script("GET", "/charts/web-1.0.0.tgz", Answer(body=WEB))
        found = [charts(fake.url).client.head_manifest("web", "1.0.0") for _ in range(2)]
        assert found[0] == found[1] is not None
        assert [one.headers.get("If-None-Match") for one in fake.received("GET", "/index")] == [None, '"one"']
        assert len(fake.received("GET", "/charts/web-1.0.0.tgz")) == 2  # once the package, once its provenance


def test_a_quick_check_of_what_was_verified_asks_for_no_chart(site, target, namespace):
    site.publish({("web", "1.0.0"): WEB})
    ran = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    digest = ran.resources["web:1.0.0"].digest
    before = len(site.asked)
    work = {"verified": {"1.0.0": digest}, "trusted": frozenset({"1.0.0"})}
    again = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace, work=work)
    assert again.outcomes == {"web:1.0.0": "unchanged"}
    assert [path for path in site.asked[before:] if "index" not in path] == []


def test_namespaces_have_indexes_of_their_own(site, target, namespace):
    site.publish({})
    below = site.folder / "team/apps"
    below.mkdir(parents=True)
    (below / "index.yaml").write_bytes(index({"web": [entry("web", "1.0.0", WEB, urls=["web.tgz"])]}))
    (below / "web.tgz").write_bytes(WEB)
    registry = charts(site.url, "source")
    assert list(registry.repositories("team/apps")) == ["team/apps/web"]
    assert registry.namespaces() == {"/": 0}
    ran = run(registry, plain(target, "target"), source_namespace="team/apps", target_namespace=namespace)
    assert ran.outcomes == {"team/apps/web:1.0.0": "copied"}


def test_an_address_with_a_path(site):
    (site.folder / "stable").mkdir()
    (site.folder / "stable/index.yaml").write_bytes(index({"web": [entry("web", "1.0.0", WEB)]}))
    registry = charts(f"{site.url}/stable")
    registry.client.ping()
    assert registry.recognize()
    assert list(registry.repositories("/")) == ["web"]


def test_without_an_index_at_the_address_the_namespace_is_to_be_typed(site):
    registry = charts(site.url, "source")
    registry.client.ping()
    assert not registry.recognize()
    with pytest.raises(OciError, match="Type the namespace"):
        registry.namespaces()
    with pytest.raises(NotFound, match="Compare the address") as missing:
        list(registry.client.tags("web"))
    assert missing.value.code == ""


def test_a_chart_that_is_gone_is_told_by_the_index(site):
    site.publish({("web", "1.0.0"): WEB})
    registry = charts(site.url, "source")
    with pytest.raises(NotFound) as missing:
        list(registry.client.tags("other"))
    assert missing.value.code == "NAME_UNKNOWN"
    assert registry.client.head_manifest("web", "9.9.9") is None
    assert registry.client.head_manifest("other", "1.0.0") is None


def test_a_wrong_digest_fails_its_chart_alone_and_a_missing_one_is_computed(site, target, namespace):
    site.publish({("web", "1.0.0"): WEB, ("db", "1.0.0"): package("db", "1.0.0")})
    good = entry("web", "1.0.0", WEB, digest=None, created=None)
    wrong = entry("db", "1.0.0", b"other")
    odd = entry("db", "1.1.0", b"", digest="md5:123", urls=["charts/db-1.0.0.tgz"])
    (site.folder / "index.yaml").write_bytes(index({"web": [good], "db": [wrong, odd]}))
    ran = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert ran.outcomes == {"web:1.0.0": "copied", "db:1.0.0": "failed", "db:1.1.0": "failed"}
    assert isinstance(ran.error("db:1.0.0"), DigestMismatch)
    assert "the index tells" in str(ran.error("db:1.0.0"))
    again = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert again.outcomes["web:1.0.0"] == "unchanged"


def test_a_package_that_is_listed_and_missing_is_a_failure_not_a_chart_that_is_gone(site, target, namespace):
    site.publish({("web", "1.0.0"): WEB, ("web", "1.1.0"): package("web", "1.1.0")})
    (site.folder / "charts/web-1.1.0.tgz").unlink()
    ran = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert ran.outcomes == {"web:1.0.0": "copied", "web:1.1.0": "failed"}
    assert "its package is not there" in str(ran.error("web:1.1.0"))
    MEMORY.forget()
    digest = ran.resources["web:1.0.0"].digest
    assert charts(site.url).client.get_manifest("web", digest).digest == digest


def test_names_and_versions_that_no_registry_takes_are_left_out(site, target, namespace, caplog):
    odd = package("web", "bad version")
    site.publish({("Upper", "1.0.0"): package("Upper", "1.0.0"), ("web", "1.0.0"): WEB, ("web", "bad version"): odd})
    ran = run(charts(site.url, "source"), plain(target, "target"), target_namespace=namespace)
    assert ran.outcomes == {"web:1.0.0": "copied"}
    assert "left out: 'Upper' is not a repository name" in caplog.text
    assert "left out: 'bad version' is not a tag" in caplog.text


# other hosts


def test_a_chart_on_another_host_is_fetched_without_the_credential(site):
    (site.folder / "web.tgz").write_bytes(WEB)
    with FakeRegistry() as elsewhere, FakeRegistry() as fake:
        elsewhere.script("GET", "/web.tgz", Answer(body=WEB))
        elsewhere.script("GET", "/web.tgz.prov", Answer(403))
        fake.script(
            "GET",
            "/index.yaml",
            Answer(body=index({"web": [entry("web", "1.0.0", WEB, urls=[f"{elsewhere.url}/web.tgz"])]})),
        )
        registry = charts(fake.url, credential="user:secret")
        assert registry.client.head_manifest("web", "1.0.0") is not None
        assert [one.headers.get("Authorization") for one in elsewhere.requests] == [None, None]
        assert all(one.headers.get("Authorization", "").startswith("Basic ") for one in fake.requests)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://169.254.169.254/web.tgz", RedirectRefused),
        ("file:///etc/passwd", RedirectRefused),
        ("oci://registry.example/charts/web:1.0.0", OciError),
        ("http://[broken/web.tgz", ProtocolViolation),
    ],
)
def test_addresses_that_are_not_followed(url, error):
    with FakeRegistry() as fake:
        fake.script("GET", "/index.yaml", Answer(body=index({"web": [entry("web", "1.0.0", WEB, urls=[url])]})))
        with pytest.raises(error):
            charts(fake.url).client.head_manifest("web", "1.0.0")
        assert len(fake.requests) == 1


def test_a_repository_elsewhere_does_not_lead_into_this_machine():
    client = ChartClient(Endpoint("https://charts.example"))
    with pytest.raises(RedirectRefused):
        client._ask("GET", "https://127.0.0.1/web.tgz")


# who asks


def test_the_credential_is_sent_at_once_and_tried_by_ping():
    with FakeChartMuseum(credential="user:secret") as museum:
        museum.store("", WEB)
        registry = charts(museum.url, credential="user:secret")
        registry.client.ping()
        assert registry.client.asks_for_credential
        assert list(registry.client.tags("web")) == ["1.0.0"]
        with pytest.raises(Unauthorized, match="HTTP Basic"):
            charts(museum.url, credential="user:wrong").client.ping()
        with pytest.raises(Unauthorized):
            charts(museum.url).client.ping()


def test_a_web_page_is_no_chart_repository():
    with FakeRegistry() as fake:
        fake.script("GET", "/", Answer(200, {"Content-Type": "text/html"}, b"<html>"))
        registry = charts(fake.url)
        with pytest.raises(ProtocolViolation, match="a web page") as problem:
            registry.client.ping()
        assert "index.yaml" in problem.value.hint
        assert not registry.recognize()


def test_a_package_that_the_server_says_it_has_compressed():
    """As Apache says of .tgz; and one that was compressed once more."""
    with FakeRegistry() as fake:
        fake.script("GET", "/index.yaml", Answer(body=index({"web": [entry("web", "1.0.0", WEB, digest=None)]})))
        made = []
        for body in (WEB, gzip.compress(WEB)):
            MEMORY.forget()
            fake.script("GET", "/charts/web-1.0.0.tgz", Answer(200, {"Content-Encoding": "x-gzip"}, body))
            fake.script("GET", "/charts/web-1.0.0.tgz.prov", Answer(404))
            made.append(charts(fake.url).client.get_manifest("web", "1.0.0").layers[0].digest)
        assert made == [f"sha256:{sha256(WEB).hexdigest()}"] * 2


def test_what_is_too_large_is_told(monkeypatch):
    monkeypatch.setattr("sync.registries.charts.reading.PACKAGE_LIMIT", 100)
    with FakeRegistry() as fake:
        fake.script("GET", "/index.yaml", Answer(body=index({"web": [entry("web", "1.0.0", WEB)]})))
        fake.script("GET", "/charts/", Answer(body=WEB))
        with pytest.raises(ProtocolViolation, match="20 MiB"):
            charts(fake.url).client.head_manifest("web", "1.0.0")


def test_the_kind_says_what_to_know():
    assert "index.yaml" in kind.ChartRepository.advice
