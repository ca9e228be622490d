"""Measures the console beside skopeo. docs/performance.md tells how to read what it prints."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

from tests.bench import kinds, pages, pushes, skopeo
from tests.bench.console import prepared
from tests.bench.corpus import CORPORA, MEGABYTE
from tests.bench.lane import PHASES
from tests.bench.measure import Failed
from tests.bench.registry import MEMORY
from tests.bench.rounds import NETWORKS, WrongDigest
from tests.bench.run import Bench, Order
from tests.parts import PARTS, missing_message

OURS: dict[str, tuple[str, ...]] = {
    "all": ("command", "worker"),
    "ours": ("command", "worker"),
    "command": ("command",),
    "worker": ("worker",),
    "skopeo": (),
}
# For few-large: what two registries hold in the end, and some room.
MEMORY_MEGABYTES = 3_500


class CannotRun(RuntimeError):
    """This machine lacks something; the message says what to do."""


def main() -> int:
    options, began = _options(), monotonic()
    signal.signal(signal.SIGTERM, _leave)
    if options.pages or options.pushes or options.kinds:
        return _measure_apart(options)
    try:
        order = _order(options)
        print(_about(order), flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, prepared(Path(folder)):
            Bench(order, Path(folder)).run()
    except (CannotRun, Failed, WrongDigest) as failure:
        print(failure, file=sys.stderr)
        return 1
    # Processes of their own: this one keeps to its console.
    scale = ["--scale", str(options.scale)]
    others = (["--pages", *scale], ["--pushes"], ["--kinds", *scale]) if _is_whole(options) else ()
    statuses = [
        subprocess.run([sys.executable, "-m", "tests.bench", *other], check=False).returncode for other in others
    ]
    status = max(statuses, default=0)
    print(f"\n{monotonic() - began:.0f} seconds in all")
    return status


def _is_whole(options: argparse.Namespace) -> bool:
    return not (options.corpus or options.network or options.phase) and options.only == "all"


def _measure_apart(options: argparse.Namespace) -> int:
    if options.kinds:
        return _measure_kinds(options.scale)
    return _measure_pages(options.scale) if options.pages else _measure_pushes()


def _measure_kinds(scale: float) -> int:
    try:
        kinds.run(scale)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _measure_pages(scale: float) -> int:
    programs = PARTS["postgresql"].find()
    if programs is None:
        print(missing_message("postgresql"), file=sys.stderr)
        return 1
    try:
        pages.run(programs, scale)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _measure_pushes() -> int:
    try:
        pushes.run(_skopeo())
    except (CannotRun, Failed) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _leave(*_: object) -> None:
    """Once: what was started is ended on the way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    several: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--corpus", choices=[*CORPORA, "huge"], help="just this one; may be repeated", **several)
    parser.add_argument("--network", choices=NETWORKS, help="just this one; may be repeated", **several)
    parser.add_argument("--phase", choices=PHASES, help="just this one; may be repeated", **several)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pages", action="store_true", help="just the pages, on a database that is filled for it")
    parser.add_argument("--pushes", action="store_true", help="just how late pushes arrive in the target")
    parser.add_argument("--kinds", action="store_true", help="just a quick check between two Harbors, and its memory")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the corpora, and that database")
    parser.add_argument("--only", choices=OURS, default="all", help="who takes part")
    parser.add_argument("--skip-skopeo", action="store_true")
    parser.add_argument("--megabytes", type=int, default=10_000, help="of the corpus huge")
    parser.add_argument("--disk", type=Path, default=tempfile.gettempdir(), help="the folder for the corpus huge")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets every single measurement")
    parser.add_argument(
        "--profile", default="", metavar="PREFIX", help="of files for cProfile's figures of our command"
    )
    return parser.parse_args()


def _order(options: argparse.Namespace) -> Order:
    """Raises CannotRun."""
    if not MEMORY.is_dir():
        raise CannotRun(f"{MEMORY} is missing: the registries keep what they hold in memory there (Linux).")
    if PARTS["registry"].find() is None:
        raise CannotRun(missing_message("registry"))
    _check_room(MEMORY, MEMORY_MEGABYTES * options.scale)
    if "huge" in options.corpus:
        _check_room(options.disk, options.megabytes * 1.1)
    given = dict(vars(options))
    only, alone = given.pop("only"), given.pop("skip_skopeo")
    del given["pages"], given["pushes"], given["kinds"]
    with_skopeo = only in ("all", "skopeo") and not alone
    return Order(**given, ours=OURS[only], skopeo=_skopeo() if with_skopeo else None)


def _about(order: Order) -> str:
    yardstick = skopeo.version(order.skopeo) if order.skopeo else "without skopeo"
    return f"{date.today()}, {os.cpu_count()} processors, Python {sys.version.split()[0]}, {yardstick}"


def _check_room(folder: Path, megabytes: float) -> None:
    free = shutil.disk_usage(folder).free / MEGABYTE
    if free < megabytes:
        raise CannotRun(f"{folder} has {free:.0f} MB free; {megabytes:.0f} are needed. --scale or --megabytes help.")


def _skopeo() -> Path:
    program = PARTS["skopeo"].find()
    if program is None:
        raise CannotRun(f"{missing_message('skopeo')}; or leave it out: --skip-skopeo")
    return program


if __name__ == "__main__":
    sys.exit(main())
