"""One run of the bench: its sections one after the other, each with its table."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import huge, sections, table
from tests.bench.bare import Bare
from tests.bench.corpus import Corpus, build
from tests.bench.lane import Contestant
from tests.bench.rounds import Contest, Record
from tests.bench.sections import Section
from tests.bench.skopeo import SkopeoCopy, SkopeoSync
from tests.support import Judge

SPREAD_OVER = 4


@dataclass(frozen=True)
class Order:
    """What the command line says. `skopeo`: None where it takes no part."""

    corpus: Sequence[str]
    network: Sequence[str]
    phase: Sequence[str]
    rounds: int
    seed: int
    scale: float
    ours: Sequence[str]
    skopeo: Path | None
    megabytes: int
    disk: Path
    json: Path | None
    profile: str


class Bench:
    """`folder`: that of the console, which is prepared."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._documents: list[dict[str, Any]] = []

    def run(self) -> None:
        """Prints as it goes. Raises measure.Failed, rounds.WrongDigest."""
        order = self._order
        corpora = [name for name in order.corpus if name != "huge"]
        for section in sections.choose(corpora, order.network, order.phase) if corpora or not order.corpus else []:
            self._measure(section)
        if "huge" in order.corpus:
            self._measure_huge()
        if order.json:
            order.json.write_text(json.dumps(self._documents, indent=1))

    def _measure(self, section: Section) -> None:
        order = self._order
        corpus = build(section.corpus, order.seed, order.scale)
        with ExitStack() as stack:
            ours = list(self._spread() if section.corpus == "spread" else self._ours(stack))
            theirs = list(self._theirs(corpus)) if section.skopeo or not ours else []
            judge = Judge(order.skopeo) if order.skopeo else None
            bare = [Bare(corpus)] if section.skopeo and ours and theirs else []
            contest = Contest(corpus, section.network, section.phases, [*ours, *theirs, *bare], judge)
            records = list(self._watched(contest.run(order.rounds)))
        self._documents += [table.as_json(record, table.fewest(corpus, record.phase)) for record in records]
        print("", *table.lines(corpus, records), sep="\n")
        print(f"No digest wrong: {contest.checked} tags asked for, {contest.judged} read by skopeo.", flush=True)

    def _watched(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            what = f"{record.corpus} {record.network} round {record.round + 1}, {record.phase}, {record.contestant}"
            print(f"{what}: {record.usage.wall:.2f} s", flush=True)
            yield record

    def _ours(self, stack: ExitStack) -> Iterator[Contestant]:
        from tests.bench.ours import Command, workers

        if "command" in self._order.ours:
            yield Command(self._order.profile)
        if "worker" in self._order.ours:
            yield stack.enter_context(workers(self._folder))

    def _spread(self) -> Iterator[Contestant]:
        from tests.bench.ours import Team

        yield from (Team(self._folder, number) for number in (1, SPREAD_OVER) if self._order.ours)

    def _theirs(self, corpus: Corpus) -> Iterator[Contestant]:
        if self._order.skopeo:
            yield SkopeoSync(self._order.skopeo, sorted({item.repository for item in corpus.content}))
            if corpus.name == "few-large":
                yield SkopeoCopy(self._order.skopeo, corpus)

    def _measure_huge(self) -> None:
        with ExitStack() as stack:
            for line in huge.run(list(self._ours(stack)), self._order.megabytes, self._order.disk):
                print(line, flush=True)
