"""Where is it? For an image reference as a person types it: which instances have it, and what each rule does with it.

Instances are asked now, all at once, for a few seconds (`asking`). Which rules are concerned, their namespaces tell
(`routes`); why one does not bring it, its fields do (`verdict`); since when it is there, the database (`history`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sync.models import Delivery, Instance, SyncRule, SyncTask, TaskResource
from sync.oci.manifest import Kind
from sync.oci.reference import InvalidReference
from sync.services.locate import asking, history
from sync.services.locate.asking import NOT_ASKED, Seen, State
from sync.services.locate.routes import Leg, Place, Route, Way, legs_through
from sync.services.locate.verdict import Reason, Verdict, judge
from sync.services.locate.wanted import Wanted, read

__all__ = ["Answer", "InvalidReference", "RuleAnswer", "Sighting", "State", "Verdict", "find", "wanted_by"]

MOST_PLACES = 200
MOST_RULES = 50
URGENCY = list(Verdict)
Deliveries = Mapping[Place, Sequence[Delivery]]


@dataclass(frozen=True)
class Sighting:
    """Whether an instance has it under one name. `delivery`: the rule that brought it there, or found it first."""

    place: Place
    seen: Seen
    delivery: Delivery | None
    differs: bool

    @property
    def changed(self) -> bool:
        """A rule brought another digest than what is there now."""
        return bool(self.delivery and self.seen.digest and self.delivery.digest != self.seen.digest)


@dataclass(frozen=True)
class RuleAnswer:
    """What a rule does with it. `last`: what became of it the last time that it was worth a row.

    brought: what it has brought there last, whether that is there still or not.
    """

    route: Route
    verdict: Verdict
    reasons: Sequence[Reason]
    last: TaskResource | None
    task: SyncTask | None
    brought: Delivery | None = None

    @property
    def rule(self) -> SyncRule:
        return self.route.rule

    @property
    def next_step(self) -> str:
        """For what could be there and is not."""
        if self.verdict is not Verdict.NOT_YET:
            return ""
        if self.rule.suspension:
            return "Nothing starts this rule as long as it is suspended."
        if self.task is None:
            return "The rule has not been triggered yet: press Sync."
        if self.task.is_open:
            return f"Task {self.task.pk} is at work on this rule."
        if self.last is not None and self.last.outcome == TaskResource.Outcome.FAILED:
            return "It failed the last time: mend the cause, then press Sync."
        return "It came after the last run, or was removed from the target: press Sync."


@dataclass(frozen=True)
class Answer:
    """`elsewhere`: rules that leave instances which have it, with another namespace. `more_rules`: not shown."""

    wanted: Wanted
    sightings: Sequence[Sighting]
    rules: Sequence[RuleAnswer]
    elsewhere: Sequence[Way]
    more_rules: int = 0

    @property
    def digests(self) -> set[str]:
        return {one.seen.digest for one in self.sightings if one.seen.digest}

    @property
    def instances(self) -> int:
        return len(self._in(*State))

    @property
    def there(self) -> int:
        """Instances that have it under any name."""
        return len(self._in(State.THERE))

    @property
    def unknown(self) -> int:
        """Instances that may have it, for all that could be found out."""
        return len(self._in(State.UNKNOWN) - self._in(State.THERE))

    def _in(self, *states: State) -> set[int]:
        return {one.place.instance.pk for one in self.sightings if one.seen.state in states}


def wanted_by(text: str, instances: Iterable[Instance]) -> Wanted:
    """What is looked for; nobody is asked yet. Raises InvalidReference, a sentence for whoever typed it."""
    return read(text, list(instances))


def find(text: str, instances: Iterable[Instance], seconds: float = asking.SECONDS) -> Answer:
    """`instances`: those that may be asked and told of. Raises InvalidReference, a sentence for whoever typed it."""
    visible = list(instances)
    wanted = read(text, visible)
    ways = _ways_from(visible)
    typed = [Place(one, wanted.repository_at(one)) for one in visible]
    starts = [place for place in typed if not wanted.named or place.instance in wanted.named]
    routes = _whole(legs_through(starts, ways))
    ends = (end for route in routes for end in (route.target, route.source) if end.instance in visible)
    places = list(dict.fromkeys([*typed, *ends]))[: max(MOST_PLACES, len(typed))]
    seen = asking.ask(places, wanted.reference, {route.source for route in routes if _is_choosy(route.rule)}, seconds)
    seen |= asking.as_brought(routes, seen, wanted.tag, seconds)
    delivered = history.deliveries_to(routes, wanted)
    answers = _answer_rules(routes, wanted, seen, delivered)
    return Answer(
        wanted,
        _sightings(seen, set(typed), routes, wanted, delivered),
        answers[:MOST_RULES],
        _elsewhere(ways, routes, seen),
        max(0, len(answers) - MOST_RULES),
    )


def _ways_from(visible: Sequence[Instance]) -> list[Way]:
    """Of all rules that one may see. Their targets are told, too, whether one may see them or not."""
    known = {one.pk: one for one in visible}
    rows = list(
        SyncRule.objects.filter(source__in=known).values_list(
            "pk", "name", "source", "source_namespace", "target", "target_namespace"
        )
    )
    if hidden := {target for _, _, _, _, target, _ in rows} - set(known):
        known |= Instance.objects.in_bulk(hidden)
    return [
        Way(pk, name, known[source], namespace, known[target], target_namespace)
        for pk, name, source, namespace, target, target_namespace in rows
    ]


def _whole(legs: Sequence[Leg]) -> list[Route]:
    """Without those whose rule was deleted meanwhile."""
    rules = SyncRule.objects.in_bulk({leg.way.pk for leg in legs})
    for way, _, _ in legs:
        if rule := rules.get(way.pk):
            rule.source, rule.target = way.source, way.target
    return [Route(rules[way.pk], source, target) for way, source, target in legs if way.pk in rules]


def _is_choosy(rule: SyncRule) -> bool:
    return len(rule.resources) < len(Kind)


def _sightings(
    seen: Mapping[Place, Seen], typed: set[Place], routes: Sequence[Route], wanted: Wanted, delivered: Deliveries
) -> list[Sighting]:
    """By instance. The typed name is left out where it tells nothing beside the names under which rules bring it."""
    by_rules = {end.instance for route in routes for end in (route.source, route.target) if end not in typed}
    routed = {end for route in routes for end in (route.source, route.target)}
    shown = [
        place
        for place, found in seen.items()
        if found.state is State.THERE
        or place not in typed
        or place.instance not in by_rules
        or (place in routed and found.state is State.ABSENT)
    ]
    shown.sort(key=lambda place: (place.instance not in wanted.named, place.instance.name, place in typed))
    return [_sighting(place, seen[place], delivered.get(place, ()), wanted) for place in shown]


def _sighting(place: Place, seen: Seen, deliveries: Sequence[Delivery], wanted: Wanted) -> Sighting:
    same = (delivery for delivery in deliveries if delivery.digest == seen.digest)
    delivery = next(same, deliveries[-1] if deliveries else None)
    differs = bool(wanted.digest and seen.digest and seen.digest != wanted.digest)
    return Sighting(place, seen, delivery, differs)


def _answer_rules(
    routes: Sequence[Route], wanted: Wanted, seen: Mapping[Place, Seen], delivered: Deliveries
) -> list[RuleAnswer]:
    """In the order of Verdict: first what somebody may want to do something about."""
    outcomes = history.last_outcomes(routes, wanted)
    tasks = history.newest_tasks(route.rule for route in routes)
    answers = []
    for route in routes:
        source, target = (seen.get(place, NOT_ASKED) for place in (route.source, route.target))
        verdict, reasons = judge(route, wanted, source, target)
        last = outcomes.get((route.rule.pk, route.source.repository))
        own = [one for one in delivered.get(route.target, ()) if one.rule_id == route.rule.pk]
        brought = own[-1] if own else None
        answers.append(RuleAnswer(route, verdict, reasons, last, tasks.get(route.rule.pk), brought))
    return sorted(answers, key=lambda one: (URGENCY.index(one.verdict), one.rule.source.name, one.rule.name))


def _elsewhere(ways: Sequence[Way], routes: Sequence[Route], seen: Mapping[Place, Seen]) -> list[Way]:
    """Rules that leave instances which have it, but copy another namespace."""
    holders = {place.instance.pk for place, found in seen.items() if found.state is State.THERE}
    concerned = {route.rule.pk for route in routes}
    return [way for way in ways if way.source.pk in holders and way.pk not in concerned][:MOST_RULES]
