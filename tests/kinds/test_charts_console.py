"""The console over a chart repository: what its connection test says, and where a chart is."""

import pytest
from django.core.cache import cache

from demo import artifacts
from sync.models import Instance
from sync.services import connect, locate, trial
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import package
from tests.replication.support import push
from tests.services.support import make_instance, make_rule, run

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def instance(url, **more):
    return Instance.objects.create(name="charts", url=url, kind=Instance.Kind.CHARTS, **more)


def told(findings):
    return {one.what: one.ok for one in findings}


def test_a_museum_can_be_source_and_target():
    with FakeChartMuseum(credential="user:secret") as museum:
        museum.store("", package("web", "1.0.0"))
        one = instance(museum.url, username="user")
        one.password = "secret"
        one.save()
        assert told(trial.test_connection(one)) == {
            "Reachable": True,
            "Credential accepted": True,
            "Listing allowed": True,
            "Push allowed": True,
        }
        assert connect.namespaces(one).counts == {"/": 1}


def test_a_web_server_can_be_a_source(site):
    site.publish({("web", "1.0.0"): package("web", "1.0.0")})
    findings = trial.test_connection(instance(site.url))
    assert told(findings) == {
        "Reachable": True,
        "Credential accepted": None,
        "Listing allowed": True,
        "Push allowed": None,
    }


def test_below_an_address_without_an_index_namespaces_are_typed(site):
    one = instance(f"{site.url}/chartrepo")
    assert one.url.endswith("/chartrepo")
    assert told(trial.test_connection(one))["Listing allowed"] is None
    assert "Type the namespace" in connect.namespaces(one).problem


def where(text):
    """What each instance has of it, by its name, and the only rule's verdict."""
    answer = locate.find(text, Instance.objects.all())
    (rule,) = answer.rules
    return {one.place.instance.name: one for one in answer.sightings}, rule.verdict


@pytest.fixture
def to_museum(source, namespace):
    """A rule from an OCI registry to a museum below a path, with the museum's password."""
    cache.clear()
    with FakeChartMuseum(depth=1, credential="user:secret") as museum:
        there = instance(museum.url, region="there", username="user")
        there.password = "secret"
        there.save()
        yield make_rule(make_instance("oci", source), there, source_namespace=namespace, target_namespace="team")


def test_a_chart_is_found_in_a_museum_and_told_as_delivered(to_museum, source, namespace):
    """Its own manifest is another than the source's: what counts is the package, as it does for a run."""
    push(source, f"{namespace}/web", "1.0.0_b.1", artifacts.chart("web", "1.0.0+b.1"))
    assert where(f"{namespace}/web:1.0.0+b.1")[1] is locate.Verdict.NOT_YET
    assert run(to_museum).copied == 1
    seen, verdict = where(f"{namespace}/web:1.0.0+b.1")
    assert verdict is locate.Verdict.DELIVERED
    assert seen["charts"].seen.digest == seen["oci"].seen.digest and not seen["charts"].changed


def test_another_chart_of_the_same_version_is_held_back(to_museum, source, namespace):
    push(source, f"{namespace}/web", "1.0.0", artifacts.chart("web", "1.0.0"))
    run(to_museum)
    push(source, f"{namespace}/web", "1.0.0", artifacts.chart("web", "1.0.0", {"replicas": 9}))
    assert where(f"{namespace}/web:1.0.0")[1] is locate.Verdict.HELD_BACK


def test_the_address_of_an_instance_may_have_a_path(site):
    cache.clear()
    (site.folder / "stable").mkdir()
    one = instance(f"{site.url}/stable", region="here")
    answer = locate.find(f"{one.host}/web:1.0.0", Instance.objects.all())
    assert answer.wanted.named == (one,) and answer.wanted.repository == "web"
