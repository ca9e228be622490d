"""Other rules that write where a rule writes: told from the rules alone, without asking an instance.

Within one rule no two repositories arrive under one name: Spec.source_repository.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from django.db.models import QuerySet

from sync.models import SyncRule
from sync.services.spec import spec_of_rule

# So many names are looked at; a rule that writes to none of them is not found.
NAMES = 5000


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


def overlaps(rule: SyncRule, arriving: Iterable[tuple[str, str, str]], others: QuerySet[SyncRule]) -> list[Overlap]:
    """Which of the other enabled rules may bring one of the tags that arrive, too.

    arriving: (source repository, target repository, tag).
    """
    rows = list(islice(arriving, NAMES))
    rivals = others.filter(enabled=True, target=rule.target_id).exclude(pk=rule.pk)
    found = (_compare(rule, other, rows) for other in rivals.select_related("source", "target").order_by("name", "pk"))
    return [overlap for overlap in found if overlap.names]


def _compare(rule: SyncRule, other: SyncRule, rows: list[tuple[str, str, str]]) -> Overlap:
    spec = spec_of_rule(other)
    origins = {arrived: spec.source_repository(arrived) for _, arrived, _ in rows}
    both = {arrived: repository for repository, arrived, tag in rows if origins[arrived] and spec.tags.matches(tag)}
    same = other.source_id == rule.source_id and all(origins[arrived] == both[arrived] for arrived in both)
    return Overlap(other, list(both), same)
