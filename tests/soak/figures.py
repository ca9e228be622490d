"""What a run counts, and how it is told."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

LONGEST_LIST = 20


@dataclass
class Figures:
    """`wrong`, `lost` and `stuck` are sentences, one for each case; they must be empty at the end."""

    seed: int
    began_at: float = field(default_factory=monotonic)
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)
    resources: int = 0
    failed_truthfully: int = 0
    longest_repair: float = 0.0
    repaired_what: str = ""
    most_owners: int = 0
    with_all_workers: int = 0
    tags_seen: int = 0
    blobs_read: int = 0
    flickers: int = 0
    pages: int = 0
    page_faults: int = 0

    def say(self, text: str) -> None:
        print(f"[{monotonic() - self.began_at:6.1f}] {text}", flush=True)

    def is_wrong(self, text: str) -> None:
        self.wrong.append(text)
        self.say(f"WRONG: {text}")

    @property
    def good(self) -> bool:
        return not (self.wrong or self.lost or self.stuck)

    def repaired(self, what: str, seconds: float) -> None:
        if seconds > self.longest_repair:
            self.longest_repair, self.repaired_what = seconds, what

    def told(self) -> list[str]:
        kills = ", ".join(f"{kind} {number}" for kind, number in sorted(self.kills.items()))
        tasks = ", ".join(f"{number} {status}" for status, number in sorted(self.tasks.items()))
        return [
            f"seed {self.seed}, {monotonic() - self.began_at:.0f} s",
            f"kills {self.kills.total()}: {kills}",
            f"tasks {self.tasks.total()} ({tasks}), resources {self.resources}",
            f"wrong {len(self.wrong)}, lost {len(self.lost)}, stuck {len(self.stuck)}",
            f"failed by a kill, said so, and brought by Retry failed: {self.failed_truthfully}",
            f"longest repair {self.longest_repair:.1f} s ({self.repaired_what})",
            f"all workers took part in {self.with_all_workers} of these tasks, {self.most_owners} had claims at once",
            f"tags pulled while it ran {self.tags_seen}, blobs read and checked {self.blobs_read}, "
            f"looked at again in the instant in which the registry rewrote a link {self.flickers}",
            f"pages asked for {self.pages}, faults {self.page_faults}",
            *(f"  {text}" for text in [*self.wrong, *self.lost, *self.stuck][:LONGEST_LIST]),
        ]


def read_logs(folder: Path, figures: Figures) -> list[str]:
    """Counts "database is locked" as wrong; gives the tracebacks by what they ended with, to be judged by people."""
    ends: Counter[str] = Counter()
    for path in sorted(folder.glob("*.log")):
        text = path.read_text(errors="replace")
        # SQLite's words and PostgreSQL's for what must not happen.
        for words in ("database is locked", "deadlock detected"):
            if found := text.count(words):
                figures.is_wrong(f"{path.name} says “{words}” {found} times")
        kind = re.sub(r"-\d+", "", path.stem)
        ends.update(f"{kind}: {end[:160]}" for end in _tracebacks(text))
    return [f"{number} x {end}" for end, number in ends.most_common()] or ["none"]


def _tracebacks(text: str) -> list[str]:
    """The last line of each: the first after it that is neither indented nor blank."""
    found = re.findall(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(\S.*)$", text, re.MULTILINE)
    return [re.sub(r"0x[0-9a-f]+|\b\d{3,}\b", "N", end) for end in found]
