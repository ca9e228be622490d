"""Why a rule brings an artifact, or which part of it keeps it from doing so."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sync.models import SyncRule
from sync.oci.manifest import Kind
from sync.oci.reference import in_namespace, is_digest_tag
from sync.replication.pattern import Pattern
from sync.services.fitting import refusal_of_type
from sync.services.locate.asking import NOT_ASKED, Seen, State
from sync.services.locate.routes import Route
from sync.services.locate.wanted import Wanted
from sync.services.spec import spec_of_rule

REPOSITORIES = ("Repositories", "Exclude repositories")
TAGS = ("Tags", "Exclude tags")
KIND_WORDS = {Kind.IMAGE: "a container image", Kind.CHART: "a Helm chart", Kind.OTHER: "another artifact"}


class Verdict(StrEnum):
    NOT_YET = "Not there yet"
    HELD_BACK = "Held back"
    UNKNOWN = "Not known"
    DELIVERED = "Delivered"
    EXCLUDED = "Excluded"
    NO_SOURCE = "Not in the source"


@dataclass(frozen=True)
class Reason:
    """A part of a rule, by the label of its field, and what it does: `expression` `says` `name`."""

    part: str
    says: str
    expression: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {' '.join(filter(None, (self.expression, self.says, self.name)))}"


def exclusions(route: Route, wanted: Wanted, kind: Kind | None) -> list[Reason]:
    """Every part of the rule that leaves it out, whatever the two sides hold."""
    return [*_by_repository(route), *_by_tag(route.rule, wanted), *_by_kind(route.rule, kind)]


def _by_repository(route: Route) -> Iterator[Reason]:
    rule = route.rule
    rest = in_namespace(route.source.repository, rule.source_namespace) or ""
    repositories = list(_by_expressions(REPOSITORIES, rule.repositories, rule.exclude_repositories, rest))
    yield from repositories
    if not repositories and not spec_of_rule(rule).selects(route.source.repository):
        yield Reason("Target namespace", "it lies below the source namespace, and a rule does not copy its own copies.")


def _by_tag(rule: SyncRule, wanted: Wanted) -> Iterator[Reason]:
    if is_digest_tag(wanted.tag):
        yield Reason("Tags", "one that names a digest is not copied by itself; it travels with what it describes.")
    elif wanted.tag:
        yield from _by_expressions(TAGS, rule.tags, rule.exclude_tags, wanted.tag)


def _by_expressions(labels: tuple[str, str], include: str, exclude: str, name: str) -> Iterator[Reason]:
    if not Pattern(include).matches(name):
        yield Reason(labels[0], "does not match", include, name)
    if not Pattern(exclude=exclude).matches(name):
        yield Reason(labels[1], "matches", exclude, name)


def _by_kind(rule: SyncRule, kind: Kind | None) -> Iterator[Reason]:
    if kind is not None and kind.value not in rule.resources:
        yield Reason("Type", f"this is {KIND_WORDS[kind]}, which the rule leaves out.")
    elif kind is not None and (refusal := refusal_of_type(rule.target, kind.value)):
        yield Reason("Target", refusal)


def judge(route: Route, wanted: Wanted, source: Seen, target: Seen) -> tuple[Verdict, list[Reason]]:
    """What the rule makes of it, and why."""
    rule = route.rule
    if left_out := exclusions(route, wanted, source.kind):
        return Verdict.EXCLUDED, left_out
    notes = list(_notes(rule, wanted))
    if source.state is State.ABSENT:
        missing = Reason(
            "Source", f"{rule.source.name} has nothing under the name", "", wanted.named_as(route.source.repository)
        )
        return Verdict.NO_SOURCE, [missing, *notes]
    unknown = [
        Reason(side, f"{instance.name} {_not_looked_at(seen)}")
        for side, instance, seen in (("Source", rule.source, source), ("Target", rule.target, target))
        if seen.state is State.UNKNOWN
    ]
    if unknown:
        return Verdict.UNKNOWN, [*unknown, *notes]
    if target.state is State.ABSENT:
        return Verdict.NOT_YET, notes
    if source.digest == target.digest:
        return Verdict.DELIVERED, notes
    if not rule.overwrite:
        kept = Reason("Overwrite", "off; the target has another digest under this tag, and keeps it.")
        return Verdict.HELD_BACK, [kept, *notes]
    newer = Reason("Overwrite", "on; the next run replaces the digest that the target has under this tag.")
    return Verdict.NOT_YET, [newer, *notes]


def _not_looked_at(seen: Seen) -> str:
    if seen is NOT_ASKED:
        return "was not asked: you may not see it, or too many rules lead there."
    return "could not be looked at."


def _notes(rule: SyncRule, wanted: Wanted) -> Iterator[Reason]:
    """What does not leave it out, and yet may be why it is not there."""
    if rule.suspension:
        yield Reason("Suspended", f"nothing starts this rule. {rule.suspension}")
    if not rule.enabled:
        yield Reason("Disabled", "pushes and schedules do not start this rule; Sync does.")
    if not wanted.tag and (rule.tags or rule.exclude_tags):
        yield Reason("Tags", "they decide as well; a digest does not tell under which tag it is looked for.")
