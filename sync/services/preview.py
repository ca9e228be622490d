"""What a rule would do, without doing it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from sync.models import SyncRule
from sync.oci.errors import Cancelled, OciError
from sync.replication.plan import Action, Decision, Planner, list_repositories, list_tags
from sync.replication.spec import Spec
from sync.services.connect import open_registry
from sync.services.spec import spec_of_rule


@dataclass(frozen=True)
class Planned:
    """What would become of one tag, or why that cannot be told. A blank tag: the whole repository cannot be listed."""

    repository: str
    target_repository: str
    tag: str
    decision: Decision | None
    error: OciError | None = None


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


def counts(planned: Sequence[Planned]) -> dict[str, int]:
    """How many tags come to each action; those that cannot be told are "failed"."""
    found = {action.value: 0 for action in Action} | {"failed": 0}
    for one in planned:
        if one.decision or one.error:
            found[one.decision.action if one.decision else "failed"] += 1
    return found
