"""Rounds over one corpus: each contestant copies it into a new target, runs again, and brings ten new tags."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.content import Tagged
from tests.bench.corpus import Corpus
from tests.bench.delay import far_away
from tests.bench.lane import PHASES, Contestant, Lane
from tests.bench.measure import Usage
from tests.bench.registry import MEMORY, CountingRegistry, Traffic, empty_registry, fill, remove, wrong_digests
from tests.support import Judge

SAMPLE = 5
# Gives the URL under which clients reach the registry at a URL.
NETWORKS: dict[str, Callable[[str], AbstractContextManager[str]]] = {"loopback": nullcontext, "100ms": far_away}


@dataclass(frozen=True)
class Record:
    """One measured run."""

    corpus: str
    network: str
    phase: str
    contestant: str
    round: int
    usage: Usage
    source: Traffic
    target: Traffic


class WrongDigest(RuntimeError):
    """A copy is not what the source holds."""


@dataclass
class Contest:
    """`judge` looks at a sample of the first copies.

    Where the phases begin with another one than a cold copy, the contestant runs once unmeasured over a filled target.
    """

    corpus: Corpus
    network: str
    phases: Sequence[str]
    contestants: Sequence[Contestant]
    judge: Judge | None = None
    checked: int = field(default=0, init=False)
    judged: int = field(default=0, init=False)

    @property
    def _storage(self) -> Path | None:
        return MEMORY if self.corpus.name == "few-large" else None

    def run(self, rounds: int) -> Iterator[Record]:
        """Raises WrongDigest, measure.Failed."""
        with ExitStack() as stack:
            source = stack.enter_context(empty_registry(self._storage))
            fill(source.url, self.corpus.content)
            source_url = stack.enter_context(NETWORKS[self.network](source.url))
            for number in range(rounds):
                # The order alternates.
                for contestant in self.contestants if number % 2 == 0 else self.contestants[::-1]:
                    yield from self._round(number, contestant, source, source_url)

    def _round(
        self, number: int, contestant: Contestant, source: CountingRegistry, source_url: str
    ) -> Iterator[Record]:
        with empty_registry(self._storage) as target, NETWORKS[self.network](target.url) as target_url:
            who = contestant.name.replace(" ", "-")
            lane = Lane(f"{self.corpus.name}.{self.network}.{who}.{number}", self.phases[0], source_url, target_url)
            if self.phases[0] != PHASES[0]:
                fill(target.url, self.corpus.content)
                contestant.sync(lane)
            for phase in self.phases:
                yield self._phase(number, contestant, replace(lane, phase=phase), source, target)

    def _phase(
        self, number: int, contestant: Contestant, lane: Lane, source: CountingRegistry, target: CountingRegistry
    ) -> Record:
        new = self.corpus.new if lane.phase == "new" else []
        fill(source.url, new)
        before = source.traffic(), target.traffic()
        usage = contestant.sync(lane)
        traffic = source.traffic() - before[0], target.traffic() - before[1]
        self._check(contestant, target, [*self.corpus.content, *new], with_judge=number == 0)
        remove(source.host, new)
        return Record(self.corpus.name, self.network, lane.phase, contestant.name, number, usage, *traffic)

    def _check(
        self, contestant: Contestant, target: CountingRegistry, expected: Sequence[Tagged], *, with_judge: bool
    ) -> None:
        wrong = wrong_digests(target.host, expected)
        if self.judge and with_judge:
            sample = expected[:: len(expected) // SAMPLE + 1]
            wrong += [
                f"{item.repository}:{item.tag} is read as something else by skopeo"
                for item in sample
                if self.judge.digest(target.url, f"{item.repository}:{item.tag}") != item.artifact.digest
            ]
            self.judged += len(sample)
        self.checked += len(expected)
        if wrong:
            told = "; ".join(wrong[:SAMPLE])
            raise WrongDigest(f"{contestant.name}: {len(wrong)} of {len(expected)} tags are wrong: {told}")
