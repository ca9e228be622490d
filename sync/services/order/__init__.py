"""Who may let a tag point where, when several rules write: the order of pushes, and one writer of a tag at a time.

The order is that in which notifications of pushes reached us. Each digest that a tag has held keeps the place of the
push that brought it there; a copy carries the place of what it was copied from. What the console writes is noted before
it is written: the registry's notification of it is an echo, whenever it comes.
"""

from sync.services.order.echoes import note_pushes
from sync.services.order.locks import forget_abandoned as forget_abandoned_locks
from sync.services.order.places import Places, TagKey, known_of, newest
from sync.services.order.umpire import Umpire, is_contested

__all__ = [
    "Places",
    "TagKey",
    "Umpire",
    "forget_abandoned_locks",
    "is_contested",
    "known_of",
    "newest",
    "note_pushes",
]
