"""Rings that a rule closes with other enabled rules: told from the rules alone, without asking an instance.

What comes back to where it began is found by its name: repositories are taken from namespace to namespace, and a rule
leaves them out only as far as its expressions spell out names. What they do not tell is assumed to fit: a warning too
many costs a glance.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sync.models import SyncRule
from sync.oci.reference import NAMESPACE_TOP
from sync.replication.pattern import Pattern
from sync.services.grants import Right, Somebody, instances_with

# Longer rings are not looked for, and after so many steps the search ends: it must not keep who saves waiting.
LONGEST, STEPS = 8, 10_000
HIGHEST = "\U0010ffff"
UNSEEN = "a rule that you may not see"
KINDS = ("images", "charts", "others")
FIELDS = (
    *("pk", "source_id", "source__name", "name", "source_namespace", "target_id", "target_namespace"),
    *("repositories", "exclude_repositories", "tags", "exclude_tags", *KINDS, "overwrite"),
)


@dataclass(frozen=True)
class Ring:
    """The rules of a ring in their order, the first one again at the end.

    grows: each round makes names longer. keeping: those that do not overwrite.
    """

    rules: tuple[str, ...]
    grows: bool
    keeping: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " → ".join(self.rules)

    @property
    def warning(self) -> str:
        """What to say to who has saved the rule."""
        if self.grows:
            return (
                f"This closes a circle in which names grow: {self}. What goes round arrives ever deeper in the "
                "namespace: give one of these rules another target namespace, or disable it."
            )
        if self.keeping:
            return (
                f"This closes a circle: {self}. New tags go round once, but what moves a tag stops before "
                f"{' and '.join(self.keeping)}: no overwriting there, so the sides may differ."
            )
        return (
            f"This closes a circle: {self}. A push goes round once and comes to rest with the newest push on all "
            "sides; Sync by hand does what its rule says."
        )


def ring_of(rule: SyncRule, user: Somebody | None = None) -> Ring | None:
    """The shortest ring that the rule is in; None: there is none, or the rule is disabled.

    user: who is told of it; no name of a rule that they may not see. None: everything.
    """
    return Roads(user).ring(rule) if rule.enabled else None


@dataclass(frozen=True)
class Road:
    """What of a rule tells where it leads. Prefixes end with “/”; that of the top level is blank."""

    pk: int
    label: str
    source: int
    before: str
    target: int
    after: str
    flat: bool
    repositories: Pattern
    tags: Pattern
    kinds: frozenset[str]
    overwrite: bool

    @classmethod
    def of(cls, row: "tuple[object, ...]", seen: Container[object] | None) -> "Road":
        """seen: instances of which rules may be named; None: all."""
        field = dict(zip(FIELDS, row, strict=True))
        namespace = str(field["source_namespace"])
        return cls(
            pk=field["pk"],  # type: ignore[arg-type]
            label=UNSEEN
            if seen is not None and field["source_id"] not in seen
            else f"{field['source__name']}/{field['name']}",
            source=field["source_id"],  # type: ignore[arg-type]
            before=_prefix(namespace),
            target=field["target_id"],  # type: ignore[arg-type]
            after=_prefix(str(field["target_namespace"]) or namespace),
            flat=namespace == NAMESPACE_TOP,
            repositories=Pattern(str(field["repositories"]), str(field["exclude_repositories"])),
            tags=Pattern(str(field["tags"]), str(field["exclude_tags"])),
            kinds=frozenset(kind for kind in KINDS if field[kind]),
            overwrite=bool(field["overwrite"]),
        )

    @cached_property
    def spelled(self) -> list[str] | None:
        return self.repositories.literals()

    @cached_property
    def spelled_tags(self) -> list[str] | None:
        return self.tags.literals()

    @property
    def reads_not(self) -> str:
        """What it writes below its own source is not read by it again (Spec.selects)."""
        return self.after if self.source == self.target and self.after.startswith(self.before) else ""


def _prefix(namespace: str) -> str:
    return "" if namespace == NAMESPACE_TOP else f"{namespace}/"


class Flow(NamedTuple):
    """What is on its way: it was called `origin` + rest, and is called `here` + rest by now.

    rests, tags: those that are left, None: any. flat: a rest has no “/”.
    """

    origin: str
    here: str
    rests: frozenset[str] | None
    flat: bool
    tags: frozenset[str] | None
    kinds: frozenset[str]

    def through(self, road: Road) -> "Flow | None":
        """What of it the rule takes, as it arrives; None: nothing."""
        kinds = self.kinds & road.kinds
        if not kinds or (road.reads_not and self.here.startswith(road.reads_not)):
            return None
        if self.here.startswith(road.before):
            passing, inside = self, self.here[len(road.before) :]
        else:
            narrowed = self._below(road.before)
            if narrowed is None:
                return None
            passing, inside = narrowed, ""
        if road.flat and inside:
            return None
        flat = passing.flat or road.flat
        rests = _left(passing.rests, flat, inside, road)
        tags = _tags_left(passing.tags, road)
        if rests == frozenset() or tags == frozenset():
            return None
        return Flow(passing.origin, road.after + inside, rests, flat, tags, kinds)

    def _below(self, prefix: str) -> "Flow | None":
        """As much of it as lies deeper, behind the prefix."""
        if self.flat or not prefix.startswith(self.here):
            return None
        step = prefix[len(self.here) :]
        rests = None
        if self.rests is not None:
            rests = frozenset(rest[len(step) :] for rest in self.rests if rest.startswith(step))
        return self._replace(origin=self.origin + step, here=prefix, rests=rests)


def _left(rests: frozenset[str] | None, flat: bool, inside: str, road: Road) -> frozenset[str] | None:
    if rests is not None:
        return frozenset(
            rest for rest in rests if not (flat and "/" in rest) and road.repositories.matches(inside + rest)
        )
    if road.spelled is None:
        return None
    deep = (name[len(inside) :] for name in road.spelled if name.startswith(inside))
    return frozenset(rest for rest in deep if rest and not (flat and "/" in rest))


def _tags_left(tags: frozenset[str] | None, road: Road) -> frozenset[str] | None:
    if tags is not None:
        return frozenset(filter(road.tags.matches, tags))
    return None if road.spelled_tags is None else frozenset(road.spelled_tags)


class Roads:
    """The enabled rules, by where they begin. user: as of ring_of."""

    def __init__(self, user: Somebody | None = None) -> None:
        self._seen = None if user is None else set(instances_with(user, Right.VIEW).values_list("pk", flat=True))
        rows = SyncRule.objects.filter(enabled=True).order_by("source__name", "name").values_list(*FIELDS)
        self._from: defaultdict[int, dict[str, list[Road]]] = defaultdict(dict)
        for row in rows.iterator(chunk_size=2000):
            road = Road.of(row, self._seen)
            self._from[road.source].setdefault(road.before, []).append(road)
        self._prefixes = {source: sorted(found) for source, found in self._from.items()}

    def ring(self, rule: SyncRule) -> Ring | None:
        """Through the rule as it is stored."""
        (row,) = SyncRule.objects.filter(pk=rule.pk).values_list(*FIELDS)
        start = Road.of(row, self._seen)
        everything = Flow(start.before, start.before, None, start.flat, None, frozenset(KINDS))
        first = everything.through(start)
        if first is None:
            return None
        ways: list[tuple[Flow, tuple[Road, ...]]] = [(first, (start,))]
        seen, steps = {(start.target, first)}, 0
        for flow, way in ways:
            for road in self._onward(way[-1].target, flow.here):
                steps += 1
                if steps > STEPS:
                    return None
                after = None if road in way else flow.through(road)
                if after is None:
                    continue
                if ring := _closed(after, (*way, road)):
                    return ring
                if len(way) + 1 < LONGEST and (road.target, after) not in seen:
                    seen.add((road.target, after))
                    ways.append((after, (*way, road)))
        return None

    def _onward(self, instance: int, here: str) -> Iterator[Road]:
        """Those that may take something of what is here: their namespace holds it, or lies in it."""
        found = self._from.get(instance)
        if not found:
            return
        parts = here.split("/")
        for depth in range(len(parts)):
            yield from found.get("".join(f"{part}/" for part in parts[:depth]), ())
        prefixes = self._prefixes[instance]
        for prefix in prefixes[bisect_left(prefixes, here) : bisect_right(prefixes, here + HIGHEST)]:
            if len(prefix) > len(here):
                yield from found[prefix]


def _closed(flow: Flow, way: tuple[Road, ...]) -> Ring | None:
    """Whether it is where it began, under its name or one that the first rule takes as well."""
    first = way[0]
    if way[-1].target != first.source or flow.through(first) is None:
        return None
    if not (flow.here.startswith(flow.origin) or flow.origin.startswith(flow.here)):
        return None
    labels = (*(road.label for road in way), first.label)
    keeping = tuple(road.label for road in way if not road.overwrite)
    return Ring(labels, len(flow.here) > len(flow.origin), keeping)
