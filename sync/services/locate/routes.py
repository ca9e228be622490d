"""Which rules could bring an artifact, and under which names it lies on their two sides."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sync.models import Instance, SyncRule
from sync.oci.reference import in_namespace, join_namespace, namespaces_of

# Rules may form circles in which a name grows: nobody follows them for longer.
MOST_STEPS = 3


@dataclass(frozen=True)
class Place:
    """A repository of an instance."""

    instance: Instance
    repository: str


@dataclass(frozen=True)
class Route:
    """What one rule would copy from `source` would arrive at `target`, if all else matches."""

    rule: SyncRule
    source: Place
    target: Place


Step = Callable[[SyncRule, str], Route]
Rules = Mapping[tuple[int, str], list[SyncRule]]


def routes_through(places: Iterable[Place], rules: Iterable[SyncRule]) -> list[Route]:
    """The ways on from these places, step by step, and those that lead to them; each once, as far as namespaces tell.

    rules: with their instances.
    """
    leaving, arriving = defaultdict(list), defaultdict(list)
    for rule in rules:
        leaving[rule.source_id, rule.source_namespace].append(rule)
        arriving[rule.target_id, rule.resulting_namespace].append(rule)
    starts = list(places)
    found = dict.fromkeys(_follow(starts, leaving, _onward))
    found |= dict.fromkeys(_follow(starts, arriving, _back))
    return list(found)


def _follow(places: list[Place], rules: Rules, step: Step) -> Iterator[Route]:
    seen = set(places)
    for _ in range(MOST_STEPS):
        routes = [
            step(rule, place.repository)
            for place in places
            for namespace in namespaces_of([place.repository])
            for rule in rules.get((place.instance.pk, namespace), ())
        ]
        yield from routes
        ends = dict.fromkeys(end for route in routes for end in (route.source, route.target))
        places = [end for end in ends if end not in seen]
        seen.update(places)


def _onward(rule: SyncRule, repository: str) -> Route:
    rest = in_namespace(repository, rule.source_namespace) or ""
    arrives = join_namespace(rule.resulting_namespace, rest)
    return Route(rule, Place(rule.source, repository), Place(rule.target, arrives))


def _back(rule: SyncRule, repository: str) -> Route:
    rest = in_namespace(repository, rule.resulting_namespace) or ""
    origin = join_namespace(rule.source_namespace, rest)
    return Route(rule, Place(rule.source, origin), Place(rule.target, repository))
