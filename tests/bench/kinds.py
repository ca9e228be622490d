"""A quick check between two Harbors with very many tags: how often it asks, and what a worker needs for it."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tcrconsole.runner import PROJECT as FOLDER
from tests.bench.console import prepared
from tests.bench.lane import Lane
from tests.bench.measure import Failed, Usage
from tests.fakes.harbor_at_scale import PROJECT, ROBOT, SECRET, names, tags

if TYPE_CHECKING:
    from sync.models import Delivery, SyncRule

REPOSITORIES, TAGS = 3000, 50
MOST_MEGABYTES = 150
ROWS_AT_ONCE = 5000
# Reaching both sides and the like.
FEW = 5


@dataclass
class Served:
    """A Harbor in a process of its own; `asked` is filled when it has ended."""

    url: str
    asked: Counter[str]


def run(scale: float) -> None:
    """Raises Failed when it asks more often than once for a hundred tags, or needs too much memory."""
    repositories, served = max(20, round(REPOSITORIES * scale)), []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, prepared(Path(folder)), ExitStack() as stack:
        from tests.bench.ours import workers

        served = [stack.enter_context(_served(repositories)) for _ in range(2)]
        lane = Lane("harbor", "quick", served[0].url, served[1].url, PROJECT)
        _furnish(lane, repositories)
        with workers(Path(folder)) as team:
            usage = team.sync(lane)
    _judge(repositories, usage, served)


def _judge(repositories: int, usage: Usage, served: list[Served]) -> None:
    number, megabytes = repositories * TAGS, usage.peak / 1_000_000
    print(f"\nquick check, Harbor to Harbor: {repositories:,} repositories, {number:,} tags, one worker")
    print(f"  {usage.wall:.1f} s, {usage.cpu:.1f} s of processor, {megabytes:.0f} MB at the most")
    for side, one in zip(("source", "target"), served, strict=True):
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(one.asked.items()))
        print(f"  {side}: {one.asked.total():,} requests ({told})")
        if one.asked.total() > number / 100 + FEW:
            raise Failed(f"The {side} was asked more often than once for a hundred tags.")
    if megabytes > MOST_MEGABYTES:
        raise Failed(f"The worker needed more than {MOST_MEGABYTES} MB.")


@contextmanager
def _served(repositories: int) -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.fakes.harbor_at_scale", str(repositories), str(TAGS)]
    start = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process: subprocess.Popen[str] = start(command, cwd=FOLDER)
    assert process.stdout is not None
    one = Served(process.stdout.readline().strip(), Counter())
    try:
        yield one
    finally:
        told, _ = process.communicate()
        one.asked.update(json.loads(told or "{}"))


def _furnish(lane: Lane, repositories: int) -> None:
    """The rule, which has brought everything not long ago."""
    from sync.models import Delivery, Instance, SyncRule

    source, target = (
        Instance(name=name, region="bench", url=url, kind="harbor", username=ROBOT, max_connections=0)
        for name, url in (("source", lane.source_url), ("target", lane.target_url))
    )
    for instance in (source, target):
        instance.password = SECRET
        instance.save()
    rule = SyncRule.objects.create(name=lane.name, source=source, target=target, source_namespace=lane.namespace)
    Delivery.objects.bulk_create(_deliveries(rule, repositories), batch_size=ROWS_AT_ONCE)


def _deliveries(rule: "SyncRule", repositories: int) -> Iterator["Delivery"]:
    from sync.models import Delivery

    for name in names(repositories):
        for tag, digest in tags(name, TAGS).items():
            yield Delivery(rule=rule, target=rule.target, repository=name, tag=tag, digest=digest)
