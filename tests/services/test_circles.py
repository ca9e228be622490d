"""The ring that a rule closes, told from the rules alone."""

from time import process_time

import pytest

from sync.models import Instance, SyncRule
from sync.services.circles import ring_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def instances():
    return {name: Instance.objects.create(name=name, url=f"https://{name}.example") for name in "abcd"}


@pytest.fixture
def rule_from(instances):
    """rule_from("a:prod", "b:mirror", tags="v.*"): a rule that is called after its two instances."""

    def make(source: str, target: str, **fields) -> SyncRule:
        (one, namespace), (other, arrives) = source.split(":"), target.split(":")
        name = fields.pop("name", f"to-{other}")
        ends = {"source": instances[one], "target": instances[other]}
        return SyncRule.objects.create(
            name=name, source_namespace=namespace, target_namespace=arrives, **ends, **fields
        )

    return make


def ring(rule: SyncRule) -> str:
    return str(ring_of(rule) or "")


def test_there_and_back(rule_from):
    there = rule_from("a:prod", "b:")
    assert ring(there) == ""
    back = rule_from("b:prod", "a:")
    assert ring(back) == "b/to-a → a/to-b → b/to-a"
    assert ring(there) == "a/to-b → b/to-a → a/to-b"
    found = ring_of(back)
    assert found
    assert not found.grows
    assert "stops before b/to-a and a/to-b: no overwriting there" in found.warning
    SyncRule.objects.filter(name="to-a").update(overwrite=True)
    found = ring_of(there)
    assert found
    assert "stops before a/to-b: no overwriting there" in found.warning
    SyncRule.objects.update(overwrite=True)
    found = ring_of(back)
    assert found
    assert "comes to rest with the newest push on all sides" in found.warning


def test_the_rules_of_a_longer_ring_in_their_order(rule_from):
    rule_from("a:prod", "b:mirror")
    rule_from("b:mirror", "c:x/y")
    rule_from("b:mirror", "d:x")
    last = rule_from("c:x/y", "a:prod")
    assert ring(last) == "c/to-a → a/to-b → b/to-c → c/to-a"


def test_of_several_rings_the_shortest(rule_from):
    rule_from("a:prod", "b:")
    rule_from("b:prod", "c:")
    rule_from("c:prod", "a:")
    assert ring(rule_from("b:prod", "a:")) == "b/to-a → a/to-b → b/to-a"


def test_disabled_rules_close_nothing(rule_from):
    there, back = rule_from("a:prod", "b:"), rule_from("b:prod", "a:", enabled=False)
    assert (ring(there), ring(back)) == ("", "")


@pytest.mark.parametrize(
    ("there", "back", "closed"),
    [
        (("a:prod", "b:prod"), ("b:other", "a:prod"), False),
        (("a:prod", "b:prod"), ("b:prod", "a:backup"), False),
        (("a:prod", "b:mirror"), ("b:mirror", "a:prod"), True),
        # Deeper names: of what arrives under mirror/web a rule may take a part, or the whole from further up.
        (("a:prod", "b:mirror"), ("b:mirror/web", "a:prod/web"), True),
        (("a:prod", "b:mirror/gz"), ("b:mirror", "a:x"), False),
        (("a:prod/web", "b:mirror/prod/web"), ("b:mirror", "a:"), False),
        (("a:prod/web", "b:mirror/prod/web"), ("b:mirror/prod", "a:prod"), True),
        (("a:prod/web", "b:prod/web"), ("b:prod", "a:prod"), True),
        (("a:prod", "b:prod"), ("b:product", "a:product"), False),
        # Taken for another name, it is not taken again.
        (("a:prod", "b:mirror"), ("b:mirror/x", "a:prod/y"), False),
        # The top level holds names without “/”.
        (("a:/", "b:mirror"), ("b:mirror", "a:/"), True),
        (("a:prod", "b:/"), ("b:/", "a:prod"), True),
        (("a:/", "b:mirror"), ("b:mirror/deep", "a:/"), False),
    ],
)
def test_namespaces_along_the_way(there, back, closed, rule_from):
    rule_from(*there)
    assert bool(ring(rule_from(*back))) is closed


def test_names_that_grow_with_each_round_are_told_apart(rule_from):
    rule_from("a:prod", "b:mirror")
    found = ring_of(rule_from("b:mirror", "a:prod/again"))
    assert found
    assert found.grows
    assert "names grow" in found.warning


@pytest.mark.parametrize(
    ("there", "back", "closed"),
    [
        ({"repositories": "web|api"}, {"repositories": "db"}, False),
        ({"repositories": "web|api"}, {"repositories": "api"}, True),
        ({"repositories": "web"}, {"repositories": "w.*"}, True),
        ({"repositories": "web"}, {"exclude_repositories": "w.*"}, False),
        ({"repositories": "x.*"}, {"repositories": "y.*"}, True),  # what they do not spell out may fit
        ({"tags": "v1|v2"}, {"tags": "v3"}, False),
        ({"tags": "v1|v2"}, {"tags": r"v\d"}, True),
        ({"images": False}, {"charts": False}, False),
        ({"images": False}, {}, True),
    ],
)
def test_expressions_as_far_as_they_spell_out_names(there, back, closed, rule_from):
    rule_from("a:prod", "b:", **there)
    assert bool(ring(rule_from("b:prod", "a:", **back))) is closed


def test_within_one_instance(rule_from):
    assert ring(rule_from("a:prod", "a:prod/copy", name="below")) == ""
    rule_from("a:prod", "a:test", name="one")
    assert ring(rule_from("a:test", "a:prod", name="other")) == "a/other → a/one → a/other"


@pytest.mark.parametrize("closed", [True, False])
def test_among_two_thousand_rules(closed, instances, rule_from, django_assert_max_num_queries):
    names = list(instances)
    SyncRule.objects.bulk_create(
        SyncRule(
            name=f"r{number}",
            source=instances[names[number % 3]],
            target=instances[names[(number + 1) % 3]],
            source_namespace=f"team-{number // 3}" if number % 3 != 2 else f"team-{number // 3}/x",
            target_namespace=f"team-{number // 3}" if number % 3 != 2 else f"other-{number // 3}",
        )
        for number in range(2000)
    )
    rule = rule_from("c:team-7" if closed else "c:nothing", "a:team-7")
    began = process_time()
    with django_assert_max_num_queries(2):
        found = ring(rule)
    assert process_time() - began < 1
    assert found == ("c/to-a → a/r21 → b/r22 → c/to-a" if closed else "")


def test_the_search_ends_where_very_many_rules_lie_below_one(instances, rule_from):
    SyncRule.objects.bulk_create(
        SyncRule(
            name=f"{one}{number}",
            source=instances[one],
            target=instances[other],
            source_namespace=f"prod/{number}",
            target_namespace=f"prod/{number + 1}",
        )
        for number in range(700)
        for one, other in (("a", "b"), ("b", "c"), ("c", "b"))
    )
    began = process_time()
    ring(rule_from("d:prod", "a:prod"))
    assert process_time() - began < 2
