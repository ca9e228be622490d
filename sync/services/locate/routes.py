"""Which rules could bring an artifact, and under which names it lies on their two sides."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sync.models import Instance, SyncRule
from sync.oci.reference import in_namespace, join_namespace, namespaces_of

# Rules may form circles in which a name grows: nobody follows them for longer.
MOST_STEPS = 3


@dataclass(frozen=True)
class Place:
    """A repository of an instance."""

    instance: Instance
    repository: str


class Way(NamedTuple):
    """What of a rule tells where it leads. There may be thousands, and whole rules take ten times as long to read."""

    pk: int
    name: str
    source: Instance
    source_namespace: str
    target: Instance
    target_namespace: str

    @property
    def resulting_namespace(self) -> str:
        return self.target_namespace or self.source_namespace


class Leg(NamedTuple):
    """What the rule of a way would copy from `source` would arrive at `target`, if all else matches."""

    way: Way
    source: Place
    target: Place


@dataclass(frozen=True)
class Route:
    """A leg with its whole rule."""

    rule: SyncRule
    source: Place
    target: Place


Step = Callable[[Way, str], Leg]
Ways = Mapping[tuple[int, str], list[Way]]


def legs_through(places: Iterable[Place], ways: Iterable[Way]) -> list[Leg]:
    """Those that lead on from these places, step by step, and those that lead to them; each once, as far as namespaces
    tell."""
    leaving, arriving = defaultdict(list), defaultdict(list)
    for way in ways:
        leaving[way.source.pk, way.source_namespace].append(way)
        arriving[way.target.pk, way.resulting_namespace].append(way)
    starts = list(places)
    found = dict.fromkeys(_follow(starts, leaving, _onward))
    found |= dict.fromkeys(_follow(starts, arriving, _back))
    return list(found)


def _follow(places: list[Place], ways: Ways, step: Step) -> Iterator[Leg]:
    seen = set(places)
    for _ in range(MOST_STEPS):
        legs = [
            step(way, place.repository)
            for place in places
            for namespace in namespaces_of([place.repository])
            for way in ways.get((place.instance.pk, namespace), ())
        ]
        yield from legs
        ends = dict.fromkeys(end for leg in legs for end in (leg.source, leg.target))
        places = [end for end in ends if end not in seen]
        seen.update(places)


def _onward(way: Way, repository: str) -> Leg:
    rest = in_namespace(repository, way.source_namespace) or ""
    arrives = join_namespace(way.resulting_namespace, rest)
    return Leg(way, Place(way.source, repository), Place(way.target, arrives))


def _back(way: Way, repository: str) -> Leg:
    rest = in_namespace(repository, way.resulting_namespace) or ""
    origin = join_namespace(way.source_namespace, rest)
    return Leg(way, Place(way.source, origin), Place(way.target, repository))
