"""`python profiled.py OUT SCRIPT ARGUMENTS...`: runs a script; OUT gets the figures of all its threads, for pstats."""

import cProfile
import pstats
import runpy
import sys
import threading
from pathlib import Path

out, *sys.argv = sys.argv[1:]
sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
profiles = [cProfile.Profile()]
run = threading.Thread.run


def run_profiled(thread: threading.Thread) -> None:
    profiles.append(cProfile.Profile())
    profiles[-1].runcall(run, thread)


threading.Thread.run = run_profiled  # type: ignore[assignment, method-assign]  # cProfile sees one thread only
try:
    profiles[0].runcall(runpy.run_path, sys.argv[0], run_name="__main__")
finally:
    stats = pstats.Stats(profiles[0])
    for profile in profiles[1:]:
        profile.disable()
        stats.add(profile)
    stats.dump_stats(out)
