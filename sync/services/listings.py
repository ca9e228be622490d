"""What a quick check lists once for all of its repositories, kept in this process while the task lasts."""

from collections import OrderedDict
from time import monotonic

from sync.models import SyncTask
from sync.registries import Listing, Registry
from sync.replication.spec import Spec

# Of fewer repositories each is listed for itself.
WORTH_REPOSITORIES = 20
# A large one takes some 10 MB before its repositories are looked at; then it shrinks.
KEPT = 4
# What is listed longer ago is listed anew: the task may have waited.
LASTS_SECONDS = 1800.0

_kept: OrderedDict[tuple[int, str], Listing] = OrderedDict()


class Listings:
    """For one turn: both sides get what this process has listed for the task, or a listing to fill."""

    def __init__(self, task: SyncTask, spec: Spec, source: Registry, target: Registry) -> None:
        self._task_id = task.pk
        self._spec = spec
        self._sides = {"source": source, "target": target}
        self._pays = task.quick and not task.selection and spec.repositories.literals() is None
        for side, registry in self._sides.items():
            registry.listing = _of(task.pk, side)

    def before_names(self) -> None:
        """The source is to be listed. Where all of it matches, that tells the names as well."""
        if not (self._spec.repositories.include or "/" in self._spec.source_namespace):
            self._begin("source")

    def planned(self, repositories: int) -> None:
        """So many are to be looked at: what costs more pages than listing each for itself is not worth it.

        That is one page at least, and half a page more than what the tags fill; they are as many as in the source.
        """
        if repositories >= WORTH_REPOSITORIES:
            self._begin("source", repositories)
            listed = self._sides["source"].listing
            pages = listed.pages if listed is not None else 0
            self._begin("target", max(repositories, pages + repositories // 2))

    def _begin(self, side: str, at_most: int | None = None) -> None:
        registry = self._sides[side]
        if self._pays and registry.lists_digests and registry.listing is None:
            registry.listing = _kept[self._task_id, side] = Listing(at_most)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)


def _of(task_id: int, side: str) -> Listing | None:
    listing = _kept.get((task_id, side))
    if listing is not None and monotonic() - listing.began > LASTS_SECONDS:
        _kept.pop((task_id, side), None)
        return None
    return listing


def drop(task_id: int) -> None:
    """The task is over."""
    for side in ("source", "target"):
        _kept.pop((task_id, side), None)
