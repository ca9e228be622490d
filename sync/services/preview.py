"""What a rule would do, without doing it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from time import monotonic

from django.conf import settings

from sync.models import SyncRule
from sync.oci.errors import Cancelled, OciError
from sync.replication.plan import Action, Decision, Planner, list_repositories, list_tags
from sync.replication.spec import Spec
from sync.services.connect import open_registry
from sync.services.overlaps import Overlap, overlaps
from sync.services.spec import spec_of_rule

FAILED = "failed"
# Of very many other rules, each compared with very many names, a search could take longer than the plan.
OVERLAPS_SECONDS = 5.0
# What the page and the command call each action: beside one tag, and after a number of tags.
WORDS = {
    Action.COPY: ("new", "new"),
    Action.UNCHANGED: ("there, equal", "there and equal"),
    Action.CONFLICT: ("conflict: stays as it is", "in conflict"),
    Action.OVERWRITE: ("will be overwritten", "to be overwritten"),
    Action.LEFT_OUT: ("type not chosen", "of a type that is not chosen"),
    Action.VANISHED: ("no longer there", "no longer there"),
    FAILED: ("cannot be told", "could not be compared"),
}


@dataclass(frozen=True)
class Planned:
    """What would become of one tag, or why that cannot be told. A blank tag: the whole repository cannot be listed.

    With neither decision nor error it was not compared yet.
    """

    repository: str
    target_repository: str
    tag: str
    decision: Decision | None
    error: OciError | None = None

    @property
    def action(self) -> str:
        """An Action, "failed", or blank."""
        return self.decision.action if self.decision else FAILED if self.error else ""

    @property
    def words(self) -> str:
        return WORDS[self.action][0] if self.action else ""


def plan(rule: SyncRule, selection: Sequence[tuple[str, str]] = ()) -> Iterator[Planned]:
    """Compares both sides of everything that matches, or of the (repository, tag) pairs selected.

    Raises OciError when a side cannot be reached or the source cannot be listed, CredentialKeyMissing.
    """
    spec = spec_of_rule(rule)
    source, target = open_registry(rule.source, "source"), open_registry(rule.target, "target")
    source.client.ping()
    target.client.ping()
    planner = Planner(source.client, target.client, spec)
    names = dict.fromkeys(repository for repository, _ in selection) or list_repositories(source, spec)
    pool = ThreadPoolExecutor(settings.CALLS_AT_ONCE)
    with closing(source.client), closing(target.client), pool:
        for repository in names:
            try:
                chosen = [tag for name, tag in selection if name == repository]
                tags = chosen or list_tags(source.client, spec, repository).matching
            except OciError as error:
                yield Planned(repository, spec.target_repository(repository), "", None, error)
                continue
            yield from pool.map(partial(decide, planner, spec, repository), tags)


def decide(planner: Planner, spec: Spec, repository: str, tag: str) -> Planned:
    """Compares one tag. Raises Cancelled."""
    planned = partial(Planned, repository, spec.target_repository(repository), tag)
    try:
        return planned(planner.decide(repository, tag))
    except Cancelled:
        raise
    except OciError as error:
        return planned(None, error)


def overlapping(rule: SyncRule, planned: Sequence[Planned]) -> list[Overlap] | None:
    """Other rules that may write some of what arrives in the target; None when there was no time to look for them."""
    until = monotonic() + OVERLAPS_SECONDS
    stays = (Action.LEFT_OUT, Action.VANISHED)
    arriving = (
        (one.repository, one.target_repository, one.tag) for one in planned if one.tag and one.action not in stays
    )
    return overlaps(rule, arriving, SyncRule.objects.all(), lambda: monotonic() >= until)


def counts(planned: Sequence[Planned]) -> dict[str, int]:
    """How many tags come to each action; those that cannot be told are "failed"."""
    found = {action.value: 0 for action in Action} | {FAILED: 0}
    for one in planned:
        if one.action:
            found[one.action] += 1
    return found


def counted(planned: Sequence[Planned]) -> str:
    """`3 new, 2 there and equal`: every action that some tag comes to; blank when none does."""
    found = counts(planned)
    return ", ".join(f"{found[action]:,} {words}" for action, (_, words) in WORDS.items() if found[action])
