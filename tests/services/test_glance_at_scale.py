"""A look at a source that holds very much: it ends in time and tells what was listed until then."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import pytest

from sync.models import SyncRule
from sync.services import glance
from sync.services.remembered import open_side
from tests.fakes.registry import Answer, FakeRegistry
from tests.replication.support import push, some_image
from tests.support import Relay, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

PAGE = 1000


@pytest.fixture
def registry(rule):
    """The source of the rule."""
    with FakeRegistry() as fake:
        rule.source.url, rule.source_namespace = fake.url, "team"
        fake.script("GET", "/v2/", Answer())
        yield fake


@pytest.fixture
def short_box(monkeypatch):
    monkeypatch.setattr(glance, "BOX_SECONDS", 1.2)
    monkeypatch.setattr(glance, "LISTING_SECONDS", 0.8)


def pages(key, names, pieces=1):
    """A list that comes page by page; each in so many pieces, a tenth of a second apart."""
    bodies = [json.dumps({key: names[start : start + PAGE]}).encode() for start in range(0, len(names), PAGE)]

    def answer(request):
        address = urlsplit(request.target)
        page = int(parse_qs(address.query).get("page", ["0"])[0])
        link = f'<{address.path}?page={page + 1}>; rel="next"' if page + 1 < len(bodies) else ""
        return Answer(200, {"Link": link} if link else {}, bodies[page], pieces=pieces)

    return answer


def look_and_time(rule, **options):
    began = monotonic()
    seen = glance.look(rule, **{"has_target": False} | options)
    return seen, monotonic() - began


def test_of_a_list_of_tags_that_is_cut_short_what_came_counts(rule, registry, short_box):
    registry.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["team/huge", "team/small"]}'))
    tags = [f"v{number:06}" for number in range(100_000)]
    registry.script("GET", "/v2/team/huge/tags/list", pages("tags", tags, pieces=2))
    registry.script("GET", "/v2/team/small/tags/list", Answer(body=b'{"tags": ["v1"]}'))
    seen, seconds = look_and_time(rule)
    assert (seen.repositories, seen.complete) == (2, False)
    assert 2 * PAGE < seen.tags < 100_000
    assert seen.lines[0].tag == "v000000"
    assert seconds < 2.5


def test_a_hundred_thousand_tags_within_the_usual_time(rule, registry):
    registry.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["team/huge"]}'))
    tags = [f"v{number:06}" for number in range(100_000)]
    registry.script("GET", "/v2/team/huge/tags/list", pages("tags", tags, pieces=2))
    seen, seconds = look_and_time(rule, has_target=True)
    assert (seen.repositories, seen.complete, seen.target_problem) == (1, False, "")
    assert seen.tags > 5 * PAGE
    assert seconds < 4


def test_a_source_that_lists_slowly_has_all_the_time_there_is(rule, registry, monkeypatch):
    monkeypatch.setattr(glance, "LISTING_SECONDS", 0.1)
    registry.script("GET", "/v2/_catalog", Answer(body=b'{"repositories": ["team/web"]}', pieces=5))
    registry.script("GET", "/v2/team/web/tags/list", Answer(body=b'{"tags": ["v1"]}', pieces=5))
    seen, seconds = look_and_time(rule)
    assert (seen.problem, seen.tags, seen.complete) == ("", 1, True)
    assert seconds > 0.5, "it was slow"


def test_very_many_repositories_take_no_longer(rule, registry, short_box):
    names = [f"team/app-{number:05}" for number in range(50_000)]
    registry.script("GET", "/v2/_catalog", pages("repositories", names))
    registry.script("GET", "/v2/team/", Answer(body=b'{"tags": ["v1"]}'))
    seen, seconds = look_and_time(rule)
    assert 0 < seen.repositories == seen.tags < 50_000
    assert not seen.complete
    assert seconds < 3


def test_few_calls_are_begun_before_their_time():
    numbers = iter(range(50_000))
    results = glance.Box().each(str, numbers, 2.0)
    number, text = next(results)
    assert str(number) == text
    assert next(numbers) == 2 * glance.CALLS_AT_ONCE
    assert len(list(results)) > 1000


def test_names_that_are_slow_leave_time_for_tags(rule, registry, short_box):
    more = {"Link": '</v2/_catalog?more=1>; rel="next"'}
    registry.script("GET", "/v2/_catalog", Answer(200, more, b'{"repositories": ["team/web"]}'))
    registry.script("GET", "/v2/_catalog?more", Answer(wait=True))
    registry.script("GET", "/v2/team/web/tags/list", Answer(body=b'{"tags": ["v1", "v2"]}'))
    seen, _ = look_and_time(rule)
    assert (seen.repositories, seen.tags, seen.complete) == (1, 2, False)


@pytest.mark.parametrize("repositories", ["quick|slow", "slow|quick"])
def test_a_list_that_hangs_holds_up_nothing_else(repositories, rule, registry, short_box, monkeypatch):
    monkeypatch.setattr(glance, "CALLS_AT_ONCE", 1 if repositories.startswith("quick") else 2)
    rule.repositories = repositories
    registry.script("GET", "/v2/team/quick/tags/list", Answer(body=b'{"tags": ["v1"]}'))
    registry.script("GET", "/v2/team/slow/tags/list", Answer(wait=True))
    seen, _ = look_and_time(rule, has_target=True)
    assert (seen.tags, seen.complete, seen.target_problem) == (1, False, "")


def test_the_search_for_other_rules_is_told_when_to_end(rule, registry, short_box, monkeypatch):
    def search(rule, arriving, others, is_over):
        wait_until(is_over, 3, "the end of the time for other rules")

    monkeypatch.setattr(glance, "overlaps", search)
    registry.script("GET", "/v2/team/web/tags/list", Answer(body=b'{"tags": ["v1"]}'))
    rule.repositories = "web"
    seen, seconds = look_and_time(rule, has_target=True, others=SyncRule.objects.all())
    assert (seen.overlaps, seen.overlaps_known, seen.target_problem) == ([], False, "")
    assert seconds < 2.5


def test_no_more_manifests_are_read_than_are_weighed(rule, namespace, source, monkeypatch):
    assert glance.WEIGHED == 40
    monkeypatch.setattr(glance, "WEIGHED", 2)
    rule.with_referrers = False
    for number in range(5):
        push(source, f"{namespace}/web", f"v{number}", some_image())
    with Relay(source) as relay:
        rule.source.url = relay.url
        for _ in range(2):
            volume = glance.look(rule, has_target=True, refresh=True).volume
            assert str(volume).endswith("to move at the most for 2 of 5 tags")
        assert len(relay.received("GET", f"/v2/{namespace}/web/manifests/")) == 2


def test_a_manifest_that_several_ask_for_at_once_is_read_once(rule, namespace, source):
    image = some_image()
    push(source, f"{namespace}/web", "v1", image)
    with Relay(source) as relay, ThreadPoolExecutor(4) as pool:
        relay.script("GET", f"/v2/{namespace}/web/manifests/", lambda one: replace(relay.forward(one), pieces=3))
        rule.source.url = relay.url
        side = open_side(rule.source, "source", lambda: False, 3.0, 4, refresh=False)
        read = list(pool.map(side.client.contents_of, [f"{namespace}/web"] * 4, [image.digest] * 4))
        side.client.close()
        assert len(relay.received("GET", f"/v2/{namespace}/web/manifests/")) == 1
        assert len(set(read)) == 1
