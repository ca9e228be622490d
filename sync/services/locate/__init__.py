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
from sync.services.locate.asking import Seen, State
from sync.services.locate.routes import Place, Route, routes_through
from sync.services.locate.verdict import Reason, Verdict, judge
from sync.services.locate.wanted import Wanted, read

__all__ = ["Answer", "InvalidReference", "RuleAnswer", "Sighting", "State", "Verdict", "find"]

MOST_PLACES = 200
MOST_RULES = 50
NOT_ASKED = Seen(State.UNKNOWN, problem="Not asked: you may not see this instance, or too many rules lead there.")
URGENCY = list(Verdict)


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
    """What a rule does with it. `last`: what became of it the last time that it was worth a row."""

    route: Route
    verdict: Verdict
    reasons: Sequence[Reason]
    last: TaskResource | None
    task: SyncTask | None

    @property
    def rule(self) -> SyncRule:
        return self.route.rule

    @property
    def next_step(self) -> str:
        """For what could be there and is not."""
        if self.verdict is not Verdict.NOT_YET:
            return ""
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
    elsewhere: Sequence[SyncRule]
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


def find(text: str, instances: Iterable[Instance], seconds: float = asking.SECONDS) -> Answer:
    """`instances`: those that may be asked and told of. Raises InvalidReference, a sentence for whoever typed it."""
    visible = list(instances)
    wanted = read(text, visible)
    rules = _rules_leaving(visible)
    typed = [Place(one, wanted.repository_at(one)) for one in visible]
    starts = [place for place in typed if not wanted.named or place.instance in wanted.named]
    routes = routes_through(starts, rules)
    ends = (end for route in routes for end in (route.target, route.source) if end.instance in visible)
    places = list(dict.fromkeys([*typed, *ends]))[: max(MOST_PLACES, len(typed))]
    seen = asking.ask(places, wanted.reference, {route.source for route in routes if _is_choosy(route.rule)}, seconds)
    answers = _answer_rules(routes, wanted, seen)
    return Answer(
        wanted,
        _sightings(seen, set(typed), routes, wanted),
        answers[:MOST_RULES],
        _elsewhere(rules, routes, seen),
        max(0, len(answers) - MOST_RULES),
    )


def _rules_leaving(visible: Sequence[Instance]) -> list[SyncRule]:
    """With their instances: of a rule that one may see, the target is told, too."""
    rules = list(SyncRule.objects.filter(source__in=[one.pk for one in visible]))
    known = {one.pk: one for one in visible}
    hidden = {rule.target_id for rule in rules} - set(known)
    if hidden:
        known |= Instance.objects.in_bulk(hidden)
    for rule in rules:
        rule.source, rule.target = known[rule.source_id], known[rule.target_id]
    return rules


def _is_choosy(rule: SyncRule) -> bool:
    return len(rule.resources) < len(Kind)


def _sightings(
    seen: Mapping[Place, Seen], typed: set[Place], routes: Sequence[Route], wanted: Wanted
) -> list[Sighting]:
    """By instance. The typed name is left out where it tells nothing beside the names under which rules bring it."""
    delivered = history.deliveries_to(routes, wanted)
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


def _answer_rules(routes: Sequence[Route], wanted: Wanted, seen: Mapping[Place, Seen]) -> list[RuleAnswer]:
    """In the order of Verdict: first what somebody may want to do something about."""
    outcomes = history.last_outcomes(routes, wanted)
    tasks = history.newest_tasks(route.rule for route in routes)
    answers = []
    for route in routes:
        source, target = (seen.get(place, NOT_ASKED) for place in (route.source, route.target))
        verdict, reasons = judge(route, wanted, source, target)
        last = outcomes.get((route.rule.pk, route.source.repository))
        answers.append(RuleAnswer(route, verdict, reasons, last, tasks.get(route.rule.pk)))
    return sorted(answers, key=lambda one: (URGENCY.index(one.verdict), one.rule.source.name, one.rule.name))


def _elsewhere(rules: Sequence[SyncRule], routes: Sequence[Route], seen: Mapping[Place, Seen]) -> list[SyncRule]:
    """Rules that leave instances which have it, but copy another namespace."""
    holders = {place.instance.pk for place, found in seen.items() if found.state is State.THERE}
    concerned = {route.rule.pk for route in routes}
    return [rule for rule in rules if rule.source_id in holders and rule.pk not in concerned][:MOST_RULES]
