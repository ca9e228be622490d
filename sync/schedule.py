"""What happens at intervals, for `manage.py rqcron sync.schedule`."""

from rq import cron

from sync.jobs import due, sweep
from sync.queue import SWEEP_SECONDS

# A sweep that waited longer than the interval is of no use: the next one does the same.
cron.register(sweep, "control", interval=SWEEP_SECONDS, ttl=SWEEP_SECONDS, result_ttl=0)
cron.register(due, "control", interval=SWEEP_SECONDS, ttl=SWEEP_SECONDS, result_ttl=0)
