"""Drift: in what a target differs from what a rule promises, found out by looking, without changing anything.

A check compares both sides in full and in steps of some seconds, each asked for by who watches: nothing runs in the
background, and nothing is written to a registry or to the database. What a check is in the midst of, it tells by its
`Progress`, from which anybody can go on.
"""

from dataclasses import replace
from secrets import token_hex
from threading import BoundedSemaphore

from sync.credentials import CredentialKeyMissing
from sync.models import SyncRule
from sync.oci.errors import OciError
from sync.services.drift.comparing import Comparing
from sync.services.drift.findings import MOST_LISTED, Finding, Progress, Stage, Step, What
from sync.services.drift.sides import late

__all__ = ["MOST_LISTED", "Finding", "Progress", "Stage", "Step", "What", "begin", "go_on"]

STEP_SECONDS = 3.5
# The first is short: who pressed the button sees soon that something happens.
FIRST_SECONDS = 1.0
# Steps at the same time in a web process: its other threads are for everybody else.
_places = BoundedSemaphore(2)
PLACE_SECONDS = 1.0


def begin() -> Progress:
    """A check that has looked at nothing yet."""
    return Progress(token_hex(8))


def go_on(rule: SyncRule, progress: Progress) -> Step:
    """The next step of a check. A side that is away or refuses us is told in the step, and ends it early.

    Where too many others take one just now, none is taken.
    """
    if progress.is_done:
        return Step(progress)
    if not _places.acquire(timeout=PLACE_SECONDS):
        return Step(progress, crowded=True)
    try:
        return _take(rule, progress)
    finally:
        _places.release()


def _take(rule: SyncRule, progress: Progress) -> Step:
    step = Step(replace(progress, steps=progress.steps + 1))
    seconds = STEP_SECONDS if progress.steps else min(FIRST_SECONDS, STEP_SECONDS)
    try:
        comparing = Comparing(rule, step, seconds)
        try:
            comparing.run()
        finally:
            comparing.close()
    except (OciError, CredentialKeyMissing) as error:
        step.problem = str(late(error) if isinstance(error, OciError) else error)
    return step
