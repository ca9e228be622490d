"""Worker pools: workers beside registries that only they reach, and the queues from which they take tasks.

A pool has no list of its own: a rule or an instance names it, and workers say which ones they serve (WORKER_POOLS).
"""

from collections import Counter
from collections.abc import Iterable

from django.conf import settings

# The queues that tasks wait in; every pool has one of each. The default pool's have no more to their names.
KINDS = ("push", "default")


def queue_name(kind: str, pool: str) -> str:
    return f"{kind}:{pool}" if pool else kind


def pool_of(queue: str) -> str | None:
    """The pool whose tasks wait in this queue, blank for the default one; None where no tasks wait in it."""
    kind, _, pool = queue.partition(":")
    return pool if kind in KINDS else None


def served(asked: Iterable[str]) -> list[str]:
    """The queues of a worker that was started for these: those of the host's pools come along, right behind their like.

    Where the host serves nothing but its pools, only their queues are left.
    """
    own: list[str] = [] if settings.WORKER_POOLS_ONLY and settings.WORKER_POOLS else [""]
    names: list[str] = []
    for name in asked:
        if pool_of(name) is None:
            names += [name] if own else []
        else:
            names += [queue_name(name, pool) for pool in (*own, *settings.WORKER_POOLS)]
    return names


def crew(listening: Iterable[frozenset[str]]) -> Counter[str]:
    """By pool, how many of those that listen to these queues execute all its tasks: not just pushes."""
    heard = (name.partition(":") for queues in listening for name in queues)
    return Counter(pool for kind, _, pool in heard if kind == "default")
