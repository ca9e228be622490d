"""`python -m tests.soak`: both databases in turn, each in a process of its own; the figures of both at the end.

From the environment: SEED (drawn and printed without), KILLS for each database (100), DATABASES (sqlite,postgresql).
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.soak.corpus import PART, WHOLE
from tests.soak.run import Order, run
from tests.soak.stage import Missing

END_SECONDS = 90
DATABASES = ("sqlite", "postgresql")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _leave)
    return _run_one(options) if options.database else _run_all(options)


def _leave(*_: object) -> None:
    """Once: what was started is ended on the way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, help="just this one, in this process")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbelow(1_000_000)))
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS") or 100))
    parser.add_argument("--part", action="store_true", help="a small one, on one host")
    parser.add_argument("--figures", type=Path, help="the file to which the figures are written, too")
    return parser.parse_args()


def _run_one(options: argparse.Namespace) -> int:
    on_two_hosts = options.database == "postgresql" and not options.part
    order = Order(options.database, options.seed, options.kills, PART if options.part else WHOLE, on_two_hosts)
    try:
        good, told = run(order)
    except Missing as missing:
        good, told = False, [f"{options.database}: left out. {missing}"]
    text = "\n".join(["", *told, ""])
    print(text, flush=True)
    if options.figures:
        options.figures.write_text(text)
    return 0 if good else 1


def _run_all(options: argparse.Namespace) -> int:
    names = (os.environ.get("DATABASES") or ",".join(DATABASES)).split(",")
    said = ["--seed", str(options.seed), "--kills", str(options.kills), *(["--part"] if options.part else [])]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in names]
        statuses = [run_apart("tests.soak", ["--database", file.name, "--figures", str(file), *said]) for file in files]
        for file in files:
            print(file.read_text() if file.exists() else f"\n{file.name}: broken off, see above", flush=True)
    return 1 if any(statuses) else 0


def run_apart(module: str, options: list[str]) -> int:
    """In a session of its own: Ctrl-C reaches it through us, once, and it has the time to end what it started."""
    with subprocess.Popen([sys.executable, "-m", module, *options], start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait(END_SECONDS)
            raise


if __name__ == "__main__":
    sys.exit(main())
