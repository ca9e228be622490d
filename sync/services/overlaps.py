"""Other rules that write where a rule writes: told from the rules alone, without asking an instance.

Within one rule no two repositories arrive under one name: Spec.source_repository.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice

from django.db.models import Q, QuerySet

from sync.models import SyncRule
from sync.oci.reference import NAMESPACE_TOP, namespaces_of
from sync.replication.pattern import Pattern
from sync.services.spec import spec_of_rule

# So many tags are looked at; a rule that writes to none of them is not found.
NAMES = 5000
# The database leaves out rules that write to other namespaces, unless there were so many to name.
NAMESPACES = 500


@dataclass(frozen=True)
class Overlap:
    """Another rule, and the repositories of the target in which both may write the same tag, at least one.

    same_source: it reads them from the same repositories.
    """

    rule: SyncRule
    names: list[str]
    same_source: bool

    @property
    def more(self) -> int:
        """Besides the first."""
        return len(self.names) - 1


def overlaps(
    rule: SyncRule,
    arriving: Iterable[tuple[str, str, str]],
    others: QuerySet[SyncRule],
    is_over: Callable[[], bool] = lambda: False,
) -> list[Overlap] | None:
    """Which of the other rules may bring one of the tags that arrive, too; None when the time was over before.

    Disabled ones are among them, last: they can be enabled at any time, or synchronized by hand as they are.
    arriving: (source repository, target repository, tag).
    """
    arrivals = Arrivals(islice(arriving, NAMES))
    rivals = others.filter(arrivals.may_be_written_by, target=rule.target_id).exclude(pk=rule.pk)
    found = []
    for other in rivals.select_related("source").order_by("-enabled", "name", "pk").iterator():
        if is_over():
            return None
        # Reading the same target again with each of very many rules takes as long as reading the rules.
        other.target = rule.target
        if names := arrivals.below(other.target_namespace or other.source_namespace):
            found.append(_compare(rule, other, names, arrivals))
    return [overlap for overlap in found if overlap.names]


class Arrivals:
    """What arrives: for each repository of the target the one that it comes from, and its tags."""

    def __init__(self, rows: Iterable[tuple[str, str, str]]) -> None:
        self.origins: dict[str, str] = {}
        self._tags: dict[str, list[str]] = defaultdict(list)
        for repository, arrived, tag in rows:
            self.origins[arrived] = repository
            self._tags[arrived].append(tag)
        self._below: dict[str, list[str]] = defaultdict(list)
        for arrived in self.origins:
            for namespace in {NAMESPACE_TOP, *namespaces_of([arrived])}:
                self._below[namespace].append(arrived)
        # Many rules have the same expressions.
        self.has_any = cache(self._has_any)

    @property
    def may_be_written_by(self) -> Q:
        """The rules for which `below` has something; perhaps more than these, never less."""
        if len(self._below) > NAMESPACES:
            return Q()
        return Q(target_namespace__in=self._below) | Q(target_namespace="", source_namespace__in=self._below)

    def below(self, namespace: str) -> list[str]:
        """The repositories that a rule may write whose target namespace this is; at the top level, any."""
        return self._below.get(namespace, [])

    def _has_any(self, arrived: str, tags: Pattern) -> bool:
        return any(map(tags.matches, self._tags[arrived]))


def _compare(rule: SyncRule, other: SyncRule, names: list[str], arrivals: Arrivals) -> Overlap:
    spec = spec_of_rule(other)
    origins = {name: spec.source_repository(name) for name in names}
    both = [name for name in names if origins[name] and arrivals.has_any(name, spec.tags)]
    same = other.source_id == rule.source_id and all(origins[name] == arrivals.origins[name] for name in both)
    return Overlap(other, both, same)
