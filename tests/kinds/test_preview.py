"""The look at a rule while it is written, over kinds whose lists do not come from the catalog."""

import pytest
from django.core.cache import cache

from sync.models import Instance
from sync.services import glance
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import package
from tests.kinds.harbor_stage import ROBOT, SECRET
from tests.services.support import make_instance, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule(stage, target):
    """From a project of Harbor with two repositories to a plain registry."""
    cache.clear()
    for name in ("prod/web", "prod/team/api"):
        stage.hold(name, "v1", name)
    harbor = make_instance("harbor", stage.fake.url, kind=Instance.Kind.HARBOR, username=ROBOT)
    harbor.password = SECRET
    harbor.save()
    return make_rule(harbor, make_instance("plain", target), source_namespace="prod", target_namespace="looked-at")


def test_what_harbor_listed_is_not_asked_for_at_each_key(rule, fake):
    assert glance.look(rule, has_target=True).tags == 2
    asked = len(fake.requests)
    rule.exclude_repositories = "team/.*"
    for expression, tags in (("web.*", 1), (".*", 1), ("nothing.*", 0)):
        rule.repositories = expression
        assert glance.look(rule, has_target=False).tags == tags
    assert len(fake.requests) == asked
    assert glance.look(rule, has_target=False, refresh=True).complete
    assert len(fake.requests) > asked


def test_another_kind_at_the_same_address_is_asked_itself(rule, fake):
    assert glance.look(rule, has_target=False).tags == 2
    rule.source.kind = Instance.Kind.DOCKER_HUB
    assert "Name the repositories" in glance.look(rule, has_target=False).problem


def test_charts_are_compared_by_their_packages_and_listed_once(target):
    cache.clear()
    with FakeChartMuseum() as near, FakeChartMuseum() as far:
        for museum in (near, far):
            museum.store("", package("web", "1.0.0+b.1"))
        near.store("", package("web", "1.1.0"))
        far.store("", package("web", "1.1.0", "another"))
        sides = [make_instance(f"side-{one}", museum.url, kind="charts") for one, museum in enumerate((near, far))]
        rule = make_rule(*sides, source_namespace="/")
        seen = glance.look(rule, has_target=True)
        assert {one.tag: one.action for one in seen.compared} == {"1.0.0_b.1": "unchanged", "1.1.0": "conflict"}
        asked = len(near.requests)
        assert glance.look(rule, has_target=False).tags == 2
        assert len(near.requests) == asked
