"""A chart repository as a target: ChartMuseum's API as it is documented, an OCI registry as the source."""

from hashlib import sha256

import pytest

from demo import artifacts
from demo.artifacts import Blob
from sync.oci.errors import InvalidManifest, NotFound, OciError, Rejected, Unauthorized
from sync.registries.charts.artifact import make_chart
from sync.registries.charts.shelf import MEMORY
from sync.replication.events import Kept
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.fakes.registry import Answer
from tests.kinds.charts import PROVENANCE, charts, package, plain, run
from tests.replication.support import push, sign, some_image

pytestmark = pytest.mark.usefixtures("quick_backoff")


def packed(chart):
    return chart.blobs[1].data


def helm_push(url, repository, tag, content, provenance=b""):
    """As `helm push` leaves it; gives the package."""
    chart = make_chart(content, provenance)
    blobs = tuple(Blob(data) for data in (chart.config, content, provenance) if data)
    push(url, repository, tag, artifacts.Artifact(chart.manifest.body, artifacts.OCI_MANIFEST, blobs))
    return content


def arrive(source, museum, namespace, **rule):
    """What a rule from an OCI registry to the topmost namespace of the museum does."""
    rule = {"source_namespace": namespace, "target_namespace": "/", **rule}
    return run(plain(source, "source"), charts(museum.url, "target"), **rule)


def test_charts_of_an_oci_registry_arrive_and_are_unchanged_the_next_time(source, namespace):
    """Manifests of another form than ours: by the package, also in a process that remembers nothing."""
    made = {version: artifacts.chart("web", version) for version in ("1.0.0", "1.1.0")}
    for version, chart in made.items():
        push(source, f"{namespace}/web", version, chart)
    with FakeChartMuseum() as museum:
        ran = arrive(source, museum, namespace)
        assert set(ran.outcomes.values()) == {"copied"}
        assert museum.files["", "web-1.0.0.tgz"] == packed(made["1.0.0"])
        assert museum.charts() == ["web-1.0.0.tgz", "web-1.1.0.tgz"]
        for forget in (False, True):
            if forget:
                MEMORY.forget()
            before = len(museum.requests)
            again = arrive(source, museum, namespace)
            assert (set(again.outcomes.values()), again.moved_bytes) == ({"unchanged"}, 0)
            assert [one.target for one in museum.requests[before:]] == ["/index.yaml"]


def test_provenance_and_plus_signs_come_along(source, namespace):
    content = helm_push(source, f"{namespace}/web", "1.0.0_b.5", package("web", "1.0.0+b.5"), PROVENANCE)
    with FakeChartMuseum() as museum:
        ran = arrive(source, museum, namespace)
        assert ran.outcomes == {f"{namespace}/web:1.0.0_b.5": "copied"}
        assert museum.files["", "web-1.0.0+b.5.tgz"] == content
        assert museum.files["", "web-1.0.0+b.5.tgz.prov"] == PROVENANCE


def test_what_differs_conflicts_or_is_overwritten_by_force(source, namespace):
    name = f"{namespace}/web"
    content = helm_push(source, name, "1.0.0", package("web", "1.0.0", "new"))
    with FakeChartMuseum() as museum:
        museum.store("", package("web", "1.0.0", "old"))
        kept = arrive(source, museum, namespace)
        assert kept.outcomes == {f"{name}:1.0.0": "conflict"}
        assert museum.received("POST") == []
        written = arrive(source, museum, namespace, overwrite=True)
        assert written.outcomes == {f"{name}:1.0.0": "copied"}
        assert [one.target for one in museum.received("POST")] == ["/api/charts?force"]
        assert museum.files["", "web-1.0.0.tgz"] == content


def test_the_same_chart_that_somebody_else_uploaded_is_no_conflict(source, namespace):
    content = helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0"), PROVENANCE)
    with FakeChartMuseum() as museum:
        museum.store("", content)
        ran = arrive(source, museum, namespace)
        assert set(ran.outcomes.values()) == {"unchanged"}


def test_from_chart_repository_to_chart_repository(site):
    site.publish({("web", "1.0.0"): package("web", "1.0.0"), ("db", "2.0.0"): package("db", "2.0.0")})
    with FakeChartMuseum(depth=2, credential="user:secret") as museum:
        for outcome in ("copied", "unchanged"):
            target = charts(museum.url, "target", "user:secret")
            ran = run(charts(site.url, "source"), target, target_namespace="org/repo")
            assert set(ran.outcomes.values()) == {outcome}
            MEMORY.forget()
        assert museum.charts("org/repo") == ["db-2.0.0.tgz", "web-1.0.0.tgz"]
        assert {one.target for one in museum.received("POST")} == {"/api/org/repo/charts"}


def test_the_paths_of_harbor_and_tcr(source, namespace):
    """https://harbor/chartrepo with the project as the namespace: uploads go to /api/chartrepo/<project>/charts."""
    helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0"))
    with FakeChartMuseum(depth=2) as museum:
        target = charts(f"{museum.url}/chartrepo", "target")
        ran = run(plain(source, "source"), target, source_namespace=namespace, target_namespace="project")
        assert set(ran.outcomes.values()) == {"copied"}
        assert museum.charts("chartrepo/project") == ["web-1.0.0.tgz"]
        target.delete_tag("project/web", "1.0.0", lambda: None)
        assert museum.charts("chartrepo/project") == []
        assert museum.received("DELETE")[0].target == "/api/chartrepo/project/charts/web/1.0.0"


def test_only_charts_and_only_under_their_own_version(source, namespace):
    push(source, f"{namespace}/image", "v1", some_image())
    chart = artifacts.chart("web", "1.0.0")
    for tag in ("1.0.0", "latest"):
        push(source, f"{namespace}/web", tag, chart)
    with FakeChartMuseum() as museum:
        ran = arrive(source, museum, namespace)
        names = [f"{namespace}/{name}" for name in ("image:v1", "web:1.0.0", "web:latest")]
        assert [ran.outcomes[name] for name in names] == ["failed", "copied", "failed"]
        assert "a chart repository takes charts only" in str(ran.error(names[0]))
        assert "tags of charts are their versions" in str(ran.error(names[2]))
        assert museum.charts() == ["web-1.0.0.tgz"]


def test_a_signed_chart_arrives_without_what_refers_to_it(source, namespace):
    name = f"{namespace}/web"
    sign(source, name, push(source, name, "1.0.0", artifacts.chart("web", "1.0.0")))
    with FakeChartMuseum() as museum:
        for outcome in ("copied", "unchanged"):
            assert arrive(source, museum, namespace).outcomes == {f"{name}:1.0.0": outcome}


def test_an_old_listing_is_a_conflict_that_says_so(source, namespace):
    helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0", "new"))
    with FakeChartMuseum(lags=True) as museum:
        assert list(charts(museum.url).repositories("/")) == []
        museum.store("", package("web", "1.0.0", "old"))
        for overwrite in (False, True):
            ran = arrive(source, museum, namespace, overwrite=overwrite)
            error = ran.error(f"{namespace}/web:1.0.0")
            assert isinstance(error, Rejected)
            assert "file already exists" in str(error)
            assert "Somebody was quicker" in error.hint


def test_a_try_whose_answer_was_lost_has_written_all_the_same(source, namespace):
    helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0"))
    with FakeChartMuseum() as museum:
        lost = []

        def upload(request):
            answer = museum._authorized(request)
            lost.append(request)
            return Answer(502) if len(lost) == 1 else answer

        museum.script("POST", "/api/charts", upload)
        ran = arrive(source, museum, namespace)
        assert set(ran.outcomes.values()) == {"copied"}
        assert len(lost) == 2


def test_a_repository_that_keeps_what_it_has(source, namespace):
    helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0", "new"))
    with FakeChartMuseum(allow_force=False) as museum:
        museum.store("", package("web", "1.0.0", "old"))
        ran = arrive(source, museum, namespace, overwrite=True)
        assert "set to keep what it has" in ran.error(f"{namespace}/web:1.0.0").hint


def test_a_plain_web_server_is_no_target(site, source, namespace):
    site.publish({})
    helm_push(source, f"{namespace}/web", "1.0.0", package("web", "1.0.0"))
    ran = run(plain(source, "source"), charts(site.url, "target"), source_namespace=namespace, target_namespace="/")
    assert "plain web server" in ran.error(f"{namespace}/web:1.0.0").hint
    with pytest.raises(OciError, match="plain web server"):
        charts(site.url).client.start_upload("probe")


def test_whether_uploads_are_taken_is_tried_without_one():
    with FakeChartMuseum(credential="user:secret") as museum:
        client = charts(museum.url, credential="user:secret").client
        client.abandon("probe", client.start_upload("probe"))
        assert museum.files == {}
        with pytest.raises(Unauthorized):
            charts(museum.url).client.start_upload("probe")


def test_a_version_is_deleted_with_its_provenance():
    with FakeChartMuseum() as museum:
        museum.store("", package("web", "1.0.0+a"), PROVENANCE)
        museum.store("", package("web", "1.1.0"))
        registry = charts(museum.url, "target")
        registry.delete_tag("web", "1.0.0_a", lambda: None)
        registry.delete_tag("web", "9.9.9", lambda: None)
        assert museum.charts() == ["web-1.1.0.tgz"]
        assert list(registry.client.tags("web")) == ["1.1.0"]
        assert registry.client.head_manifest("web", "1.0.0_a") is None
        assert len(museum.received("DELETE")) == 1


def test_deletion_that_is_off_is_told():
    with FakeChartMuseum(disable_delete=True) as museum:
        museum.store("", package("web", "1.0.0"))
        with pytest.raises(NotFound, match="disable-delete"):
            charts(museum.url, "target").delete_tag("web", "1.0.0", lambda: None)


@pytest.mark.parametrize("kind", ["registry", "charts"])
def test_what_is_gone_from_the_source_goes_by_a_process_that_remembers_nothing(kind, site, source, namespace):
    content = package("web", "1.0.0")
    helm_push(source, f"{namespace}/web", "1.0.0", content)
    digest = make_chart(content).manifest.digest
    site.publish({("web", "1.1.0"): package("web", "1.1.0")})
    push(source, f"{namespace}/web", "1.1.0", artifacts.chart("web", "1.1.0"))
    plain(source, "source").client.delete_manifest(f"{namespace}/web", digest)
    from_, where = (plain(source, "source"), namespace) if kind == "registry" else (charts(site.url, "source"), "/")
    with FakeChartMuseum() as museum:
        museum.store("", content)
        museum.store("", package("web", "0.9.0", "another than was brought"))
        work = {"removing": {"1.0.0": digest, "0.9.0": f"sha256:{'0' * 64}"}}
        ran = run(from_, charts(museum.url, "target"), source_namespace=where, target_namespace="/", work=work)
        assert [done.outcome.value for done in ran.resources.values()] == ["removed"]
        assert [event.tag for event in ran.events if isinstance(event, Kept)] == ["0.9.0"]
        assert museum.charts() == ["web-0.9.0.tgz"]


def test_what_one_tag_may_not_have_stays_for_another_that_waits_for_the_same_package():
    content = package("web", "1.0.0")
    manifest = make_chart(content).manifest
    with FakeChartMuseum() as museum:
        client = charts(museum.url, "target").client
        for _ in ("latest", "1.0.0"):
            client.expect("web", manifest)
            client.upload("web", manifest.layers[0], [content])
        with pytest.raises(InvalidManifest):
            client.put_manifest("web", "latest", manifest)
        client.expect_no_more("web", manifest)
        client.put_manifest("web", "1.0.0", manifest)
        assert sha256(museum.files["", "web-1.0.0.tgz"]).hexdigest() == manifest.layers[0].digest[7:]


def test_nothing_waits_for_a_manifest_that_does_not_come():
    content = package("web", "1.0.0")
    manifest = make_chart(content).manifest
    with FakeChartMuseum() as museum:
        client = charts(museum.url, "target").client
        for _ in range(2):
            client.expect("web", manifest)
        client.upload("web", manifest.layers[0], [content])
        client.expect_no_more("web", manifest)
        assert list(vars(client)["_waiting"]) == [("web", manifest.layers[0].digest)]
        client.expect_no_more("web", manifest)
        assert vars(client)["_waiting"] == {} and not vars(client)["_expected"]
        with pytest.raises(InvalidManifest):
            client.put_manifest("web", "1.0.0", manifest)
        assert museum.charts() == []
