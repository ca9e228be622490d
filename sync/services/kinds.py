"""Kinds of registry, for the form in which an instance is described."""

from dataclasses import dataclass
from functools import cache

from sync.models import Instance
from sync.registries import KINDS, RECEIVERS

# Of these there is one for everybody.
ONE_ADDRESS = ("dockerhub", "github", "gitlab", "quay")


@dataclass(frozen=True)
class About:
    """What a person should know of a kind before entering an instance of it. `address`: an example, or the only one."""

    kind: str
    label: str
    address: str
    advice: str

    @property
    def is_example(self) -> bool:
        return self.kind not in ONE_ADDRESS


@cache
def about_kinds() -> list[About]:
    """All kinds, in the order in which they are offered."""
    known = ((kind.value, kind.label, KINDS.get(kind.value)) for kind in Instance.Kind)
    return [About(value, label, registry.address, registry.advice) for value, label, registry in known if registry]


def receivers_of(instance: Instance) -> list[str]:
    """How registries are set up to tell of pushes, that of the instance's kind first."""
    own = KINDS[instance.kind].receiver
    return sorted(RECEIVERS, key=lambda one: one != own)
