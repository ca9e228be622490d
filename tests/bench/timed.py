"""`python -IS timed.py OUT COMMAND...`: runs a command; writes its wall and CPU seconds and peak memory as JSON to OUT.

A process of its own, and a small one: to a command the system counts the memory of the one that started it as well.
"""

import json
import os
import sys
import time

began = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
figures = {
    "wall": time.monotonic() - began,
    "cpu": used.ru_utime + used.ru_stime,
    "peak": used.ru_maxrss * 1024,
    "status": os.waitstatus_to_exitcode(status),
}
with open(sys.argv[1], "w", encoding="ascii") as out:  # noqa: PTH123 - pathlib takes longer to import than this to run
    json.dump(figures, out)
