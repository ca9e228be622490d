from dataclasses import replace

import pytest

from sync.oci.manifest import Kind
from tests.replication.support import spec


@pytest.mark.parametrize(
    ("rule", "repository", "arrives_as"),
    [
        ({"source_namespace": "prod"}, "prod/web/nginx", "prod/web/nginx"),
        ({"source_namespace": "prod", "target_namespace": "mirror"}, "prod/web/nginx", "mirror/web/nginx"),
        ({"source_namespace": "prod/web", "target_namespace": "m/i/r"}, "prod/web/nginx", "m/i/r/nginx"),
        ({"source_namespace": "prod/web"}, "prod/webby/nginx", None),
        ({"source_namespace": "prod"}, "prod", None),
        ({"source_namespace": "prod"}, "production/nginx", None),
        ({"source_namespace": "/"}, "hello", "hello"),
        ({"source_namespace": "/"}, "prod/hello", None),
        ({"source_namespace": "/", "target_namespace": "mirror"}, "hello", "mirror/hello"),
        ({"source_namespace": "prod", "target_namespace": "/"}, "prod/web/nginx", "web/nginx"),
        ({"source_namespace": "prod", "repositories": "web/.*"}, "prod/web/nginx", "prod/web/nginx"),
        ({"source_namespace": "prod", "repositories": "prod/web/.*"}, "prod/web/nginx", None),
        ({"source_namespace": "prod", "exclude_repositories": "web/.*"}, "prod/web/nginx", None),
    ],
)
def test_which_repositories_are_selected_and_where_they_arrive(rule, repository, arrives_as):
    chosen = spec(**rule)
    assert chosen.selects(repository) is (arrives_as is not None)
    if arrives_as:
        assert chosen.target_repository(repository) == arrives_as
        assert chosen.source_repository(arrives_as) == repository


NAMES = [f"{top}{rest}" for top in ("", "a/", "a/a/", "b/", "a/b/", "ab/") for rest in ("a", "b", "a/b", "ab")]


@pytest.mark.parametrize("to", ["/", "a", "b", "a/b", "a/a"])
@pytest.mark.parametrize("origin", ["/", "a", "a/b", "a/a"])
@pytest.mark.parametrize("same_instance", [False, True])
def test_no_two_repositories_arrive_under_one_name(origin, to, same_instance):
    chosen = replace(spec(source_namespace=origin, target_namespace=to), same_instance=same_instance)
    arrive = {name: chosen.target_repository(name) for name in NAMES if chosen.selects(name)}
    assert len(set(arrive.values())) == len(arrive)
    assert {chosen.source_repository(arrived): arrived for arrived in arrive.values()} == arrive


@pytest.mark.parametrize(
    ("rule", "arrived"),
    [
        ({"target_namespace": "mirror"}, "prod/web"),
        ({"target_namespace": "mirror", "repositories": "web"}, "mirror/api"),
        ({"source_namespace": "/", "target_namespace": "mirror"}, "mirror/web/nginx"),
        ({"target_namespace": "mirror"}, "mirrors/web"),
    ],
)
def test_a_name_under_which_nothing_arrives(rule, arrived):
    assert spec(**rule).source_repository(arrived) is None


def test_the_chosen_types():
    assert spec(images=True, charts=False, others=False).kinds == {Kind.IMAGE}
    assert spec(images=False, charts=True, others=True).kinds == {Kind.CHART, Kind.OTHER}


@pytest.mark.parametrize(
    ("rule", "repository", "selected"),
    [
        ({"target_namespace": "prod/loop"}, "prod/web", True),
        ({"target_namespace": "prod/loop"}, "prod/loop/web", False),
        ({"target_namespace": "prod/loop"}, "prod/loop/loop/web", False),
        ({"target_namespace": "prod/loop"}, "prod/looping/web", True),
        ({"target_namespace": "mirror"}, "prod/mirror/web", True),
        ({"source_namespace": "prod/web", "target_namespace": "prod"}, "prod/web/nginx", True),
        ({"source_namespace": "/", "target_namespace": "mirror"}, "hello", True),
    ],
)
def test_a_rule_within_one_instance_does_not_read_what_it_writes(rule, repository, selected):
    chosen = spec(**rule)
    assert replace(chosen, same_instance=True).selects(repository) is selected
    assert chosen.selects(repository)
