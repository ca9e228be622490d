"""What a run shall do, as the engine knows it: a rule without its database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.oci.manifest import Kind
from sync.oci.reference import NAMESPACE_TOP, in_namespace, join_namespace
from sync.replication.pattern import Pattern


@dataclass(frozen=True)
class Spec:
    source_namespace: str
    target_namespace: str
    repositories: Pattern
    tags: Pattern
    kinds: frozenset[Kind]
    with_referrers: bool
    overwrite: bool
    same_instance: bool = False

    @classmethod
    def from_snapshot(cls, rule: Mapping[str, Any], *, same_instance: bool = False) -> "Spec":
        """From the fields of a rule by their names; a blank target namespace means the source's."""
        chosen = {Kind.IMAGE: rule["images"], Kind.CHART: rule["charts"], Kind.OTHER: rule["others"]}
        return cls(
            source_namespace=rule["source_namespace"],
            target_namespace=rule["target_namespace"] or rule["source_namespace"],
            repositories=Pattern(rule["repositories"], rule["exclude_repositories"]),
            tags=Pattern(rule["tags"], rule["exclude_tags"]),
            kinds=frozenset(kind for kind, on in chosen.items() if on),
            with_referrers=rule["with_referrers"],
            overwrite=rule["overwrite"],
            same_instance=same_instance,
        )

    def selects(self, repository: str) -> bool:
        """Whether a whole repository name is in the namespace and passes the repository expressions.

        What a rule writes below its own source namespace is not read by it again: it would grow without end.
        """
        if self.same_instance and in_namespace(repository, self.target_namespace) is not None and self._target_is_below:
            return False
        rest = in_namespace(repository, self.source_namespace)
        return rest is not None and self.repositories.matches(rest)

    @property
    def _target_is_below(self) -> bool:
        return in_namespace(self.target_namespace, self.source_namespace) is not None

    def target_repository(self, repository: str) -> str:
        """The name under which a selected repository arrives."""
        rest = in_namespace(repository, self.source_namespace)
        if rest is None:
            raise ValueError(f"{repository} is not in the namespace {self.source_namespace}")
        return join_namespace(self.target_namespace, rest)

    def namespace_of(self, arrived: str) -> str:
        """The one in which a name of the target lies: at the top level names of several parts have one, too."""
        at_top = self.target_namespace == NAMESPACE_TOP and "/" in arrived
        return arrived.partition("/")[0] if at_top else self.target_namespace

    def source_repository(self, arrived: str) -> str | None:
        """The one repository that arrives under this name, the reverse of target_repository; None: none does.

        No two can: a namespace is taken off the front of a name and another put before the same rest.
        """
        top = self.target_namespace == NAMESPACE_TOP
        rest = arrived if top else in_namespace(arrived, self.target_namespace)
        if rest is None:
            return None
        repository = join_namespace(self.source_namespace, rest)
        return repository if self.selects(repository) else None
