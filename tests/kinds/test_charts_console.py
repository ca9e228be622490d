"""The console over a chart repository: what its connection test says."""

import pytest

from sync.models import Instance
from sync.services import connect, trial
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import package

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
