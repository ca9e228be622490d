"""Which rules write to the same names: of very many, too, and in the time there is."""

from time import monotonic

import pytest

from sync.models import SyncRule
from sync.replication.pattern import Pattern
from sync.replication.spec import Spec
from sync.services.overlaps import overlaps
from tests.services.support import make_instance, make_rule

pytestmark = pytest.mark.django_db

# A thousand repositories of five tags each.
ROWS = [(f"team/app-{number % 1000}", f"team/app-{number % 1000}", f"v{number}") for number in range(5000)]


@pytest.fixture
def own():
    source, target = make_instance("guangzhou", "http://a"), make_instance("frankfurt", "http://b")
    return make_rule(source, target, name="own", source_namespace="team")


def make_many(own, *namespaces, **fields):
    SyncRule.objects.bulk_create(
        SyncRule(name=f"r{number:04}", source=own.source, target=own.target, source_namespace=namespace, **fields)
        for number, namespace in enumerate(namespaces)
    )


def search(own, is_over=lambda: False, rows=ROWS):
    return overlaps(own, rows, SyncRule.objects.all(), is_over)


def test_rules_that_write_to_other_namespaces_are_not_compared(own, monkeypatch):
    make_many(own, *(f"other-{number}" for number in range(2000)), repositories="app-.*", tags="v.*")
    monkeypatch.setattr(Spec, "source_repository", None)
    began = monotonic()
    assert search(own) == []
    assert monotonic() - began < 2


def test_names_are_compared_once_for_all_their_tags_and_tags_once_for_all_rules_of_an_expression(own, monkeypatch):
    make_many(own, *["team"] * 20, tags="latest")
    asked = {"names": 0, "tags": 0}

    def counting(kind, method):
        def counted(*arguments):
            asked[kind] += 1
            return method(*arguments)

        return counted

    monkeypatch.setattr(Spec, "source_repository", counting("names", Spec.source_repository))
    one_pattern = counting("tags", Pattern.matches)
    monkeypatch.setattr(Pattern, "matches", lambda self, name: one_pattern(self, name) if self.include else True)
    assert search(own) == []
    assert asked == {"names": 20 * 1000, "tags": 5000}


def test_when_time_is_over_nothing_is_said(own):
    make_many(own, *["team"] * 20)
    left = iter([False] * 5)
    assert search(own, lambda: next(left, True)) is None
    found = search(own)
    assert len(found) == 20 and {len(one.names) for one in found} == {1000}


@pytest.mark.parametrize(
    ("namespace", "arrived", "overlapping"),
    [
        ("/", "alone", True),
        ("/", "team/app", False),
        ("team", "team/app", True),
        ("team", "team/a/b", True),
        ("team/a", "team/a/b", True),
        ("team/a", "team/app", False),
        ("tea", "team/app", False),
        ("team", "alone", False),
    ],
)
@pytest.mark.parametrize("named", [500, 0])
def test_which_namespaces_can_overlap(namespace, arrived, overlapping, named, own, monkeypatch):
    """Whether the database leaves out the others or not."""
    monkeypatch.setattr("sync.services.overlaps.NAMESPACES", named)
    make_many(own, namespace)
    assert bool(search(own, rows=[("team/app", arrived, "v1")])) is overlapping


def test_a_rule_to_the_top_level_may_write_anywhere(own):
    make_many(own, "from", target_namespace="/")
    (found,) = search(own, rows=[("team/app", "team/app", "v1")])
    assert found.names == ["team/app"]


def test_disabled_rules_are_found_too_after_the_others_and_cost_no_further_query(own, django_assert_num_queries):
    make_many(own, "team", enabled=False)
    make_rule(own.source, own.target, name="z-enabled", source_namespace="team")
    with django_assert_num_queries(1):
        found = search(own)
    assert [(one.rule.name, one.rule.enabled) for one in found] == [("z-enabled", True), ("r0000", False)]
