"""Kinds of registry, for the form in which an instance is described."""

import re
from dataclasses import dataclass
from functools import cache

from sync.models import Instance
from sync.registries import KINDS, RECEIVERS

# Of these there is one for everybody; of the others in the second row, one for most.
ONE_ADDRESS = ("dockerhub", "github")
USUAL_ADDRESS = ("gitlab", "quay")
SCRIPTS = "scripts"


@dataclass(frozen=True)
class About:
    """What a person should know of a kind before entering an instance of it. `address`: an example or the usual."""

    kind: str
    label: str
    address: str
    advice: str

    @property
    def points(self) -> list[str]:
        """The advice, a sentence each."""
        return re.split(r"(?<=\.) +(?=[A-Z“])", self.advice) if self.advice else []

    @property
    def help(self) -> str:
        """What to enter as the address."""
        if self.kind in ONE_ADDRESS:
            return f"Blank: {self.address}, as for everybody."
        if self.kind in USUAL_ADDRESS:
            return f"Blank: {self.address}. Or that of your own."
        return f"For example {self.address}"


@cache
def about_kinds() -> list[About]:
    """All kinds, in the order in which they are offered."""
    known = ((kind.value, kind.label, KINDS.get(kind.value)) for kind in Instance.Kind)
    return [About(value, label, registry.address, registry.advice) for value, label, registry in known if registry]


def usual_address(kind: str) -> str:
    """Of a kind that has one; else blank."""
    return KINDS[kind].address if kind in (*ONE_ADDRESS, *USUAL_ADDRESS) else ""


def notifies(instance: Instance) -> bool:
    """Whether its kind tells of pushes in a form that the console understands."""
    return KINDS[instance.kind].receiver != SCRIPTS


def receivers_of(instance: Instance) -> list[str]:
    """How registries are set up to tell of pushes, that of the instance's kind first; scripts alone if it cannot."""
    own = KINDS[instance.kind].receiver
    return sorted(RECEIVERS, key=lambda one: one != own) if own != SCRIPTS else [SCRIPTS]
