"""One way from the source to a target, run along by one contestant in one round."""

from dataclasses import dataclass
from typing import Protocol

from tests.bench.corpus import NAMESPACE
from tests.bench.measure import Usage

# In the order in which they follow each other.
PHASES = ("cold", "idle", "quick", "new")


@dataclass(frozen=True)
class Lane:
    """`name`: no other lane has it; good for rules and files. `phase`: which of PHASES runs now."""

    name: str
    phase: str
    source_url: str
    target_url: str
    namespace: str = NAMESPACE

    @property
    def source_host(self) -> str:
        return self.source_url.partition("://")[2]

    @property
    def target_host(self) -> str:
        return self.target_url.partition("://")[2]


class Contestant(Protocol):
    @property
    def name(self) -> str: ...

    def sync(self, lane: Lane) -> Usage:
        """Brings to the target what the source has. Raises measure.Failed."""
