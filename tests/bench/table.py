"""The figures as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.bench.corpus import MEGABYTE, Corpus
from tests.bench.lane import PHASES
from tests.bench.least import Least, least
from tests.bench.registry import Traffic
from tests.bench.rounds import Record

COLUMNS = "{:15} {:>22} {:>6} {:>6} {:>5}  {:>7} {:>9}  {:>7} {:>9}"
HEAD = COLUMNS.format("", "wall s (min - max)", "ratio", "CPU s", "MB", "source", "blobs MB", "target", "in MB")
TITLES = {"cold": "cold copy", "idle": "nothing to do", "quick": "nothing to do, quick check", "new": "ten new tags"}


def fewest(corpus: Corpus, phase: str) -> Least:
    held, missing = {
        "cold": ([], corpus.content),
        "idle": (corpus.content, []),
        "quick": (corpus.content, []),
        "new": (corpus.content, corpus.new),
    }[phase]
    return least(held, missing)


def lines(corpus: Corpus, records: Sequence[Record]) -> Iterator[str]:
    """The table of one corpus in one network. Ratios are to the fastest skopeo, without any to who was first."""
    yield f"{corpus} ({records[0].network})"
    yield HEAD
    for phase in PHASES:
        by_name: dict[str, list[Record]] = {}
        for record in records:
            if record.phase == phase:
                by_name.setdefault(record.contestant, []).append(record)
        if by_name:
            yield f"{TITLES[phase]}:"
            yield from _of_phase(fewest(corpus, phase), by_name)


def _of_phase(few: Least, by_name: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    walls = {name: median(record.usage.wall for record in records) for name, records in by_name.items()}
    yardstick = min(
        (wall for name, wall in walls.items() if name.startswith("skopeo")), default=next(iter(walls.values()))
    )
    for name, records in by_name.items():
        yield _row(name, records, f"{walls[name] / yardstick:.3f}")
    yield COLUMNS.format(
        "  the fewest", "", "", "", "",
        few.source_requests, _megabytes(few.blob_bytes), few.target_requests, _megabytes(few.bytes),
    )  # fmt: skip
    for name, records in by_name.items():
        yield f"    {name}: source {_told(records[-1].source)}; target {_told(records[-1].target)}"


def _row(name: str, records: Sequence[Record], ratio: str) -> str:
    walls = [record.usage.wall for record in records]
    sent, received = (
        median(counts)
        for counts in zip(*((one.source.blobs_sent, one.target.received) for one in records), strict=True)
    )
    return COLUMNS.format(
        f"  {name}",
        f"{median(walls):.2f} ({min(walls):.2f} - {max(walls):.2f})",
        ratio,
        f"{median(record.usage.cpu for record in records):.2f}",
        f"{max(record.usage.peak for record in records) / MEGABYTE:.0f}",
        f"{median(record.source.requests.total() for record in records):.0f}",
        _megabytes(sent),
        f"{median(record.target.requests.total() for record in records):.0f}",
        ">" * (received < sent) + _megabytes(received),
    )


def _megabytes(number: float) -> str:
    return f"{number / MEGABYTE:.2f}"


def _told(traffic: Traffic) -> str:
    return ", ".join(f"{number} {method} {kind}" for (kind, method), number in traffic.requests.most_common())


def as_json(record: Record, few: Least) -> dict[str, Any]:
    document = asdict(record)
    for side, traffic in (("source", record.source), ("target", record.target)):
        document[side]["requests"] = {f"{method} {kind}": number for (kind, method), number in traffic.requests.items()}
    return {**document, "fewest": asdict(few)}
