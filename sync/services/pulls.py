"""What an instance told last of a limit of pulls, whichever process it told: for the page of the instance."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

from sync.models import Instance
from sync.registries import KINDS, Registry
from sync.shared import leave_note, note_left

# Where it does not say how long its window is. After that long the number tells nothing any more.
WINDOW_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Told:
    """A sentence, and when it was true."""

    words: str
    at: datetime


def note(instance: Instance, registry: Registry) -> None:
    """To be called once it was asked for something, through this registry."""
    limit = registry.pull_limit()
    if instance.pk and limit is not None:
        text = json.dumps([instance.username, str(limit), time()])
        leave_note(_name(instance), text, limit.seconds or WINDOW_SECONDS)


def told(instance: Instance) -> Told | None:
    """None where it has told nothing, or told it to another account."""
    if KINDS[instance.kind].pull_limit is Registry.pull_limit or not (text := note_left(_name(instance))):
        return None
    username, words, at = json.loads(text)
    return Told(words, datetime.fromtimestamp(at, UTC)) if username == instance.username else None


def _name(instance: Instance) -> str:
    return f"pulls:{instance.pk}"
