"""A look at what a rule would do, for the form in which it is written: within seconds, the first tags in full."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from threading import BoundedSemaphore
from time import monotonic
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from sync.credentials import CredentialKeyMissing
from sync.models import SyncRule
from sync.oci.errors import Cancelled, OciError
from sync.replication.plan import Action, Planner, list_repositories, list_tags
from sync.replication.spec import Spec
from sync.services.overlaps import Overlap, overlaps
from sync.services.preview import FAILED, Planned, counted, decide
from sync.services.remembered import Side, open_side
from sync.services.spec import spec_of_rule
from sync.services.volume import Volume, blobs_of, moving, volume_of

BOX_SECONDS = 3.0
# Listing ends here, so that some time is left to compare; half of it is for the names of the repositories. A source
# that has told nothing by then is waited for until the end.
LISTING_SECONDS = 2.0
# How often one looks whether it has told something.
LOOK_SECONDS = 0.05
CALLS_AT_ONCE = 16
# A look takes a thread of the web server: so many at once, and others wait no longer than this for theirs.
LOOKS_AT_ONCE = 4
TURN_SECONDS = 1.0
LINES = 20
NOTABLE = (FAILED, Action.OVERWRITE, Action.CONFLICT)
COMPARED = 200
# Of so many artifacts the manifests are read: a registry may count each as a pull.
WEIGHED = 40
OVERLAPS = 3
# An older listing says so.
STALE = timedelta(minutes=2)


@dataclass
class Glance:
    """What was seen. Not `complete`: there may be more. Problems are sentences."""

    problem: str = ""
    target_problem: str = ""
    repositories: int = 0
    tags: int = 0
    complete: bool = False
    listed_at: datetime | None = None
    compared: list[Planned] = field(default_factory=list)
    unlisted: list[Planned] = field(default_factory=list)
    volume: Volume = field(default_factory=Volume)
    overlaps: list[Overlap] = field(default_factory=list)
    overlaps_known: bool = True

    @property
    def lines(self) -> list[Planned]:
        """The first by name; where there are more, what a person should know of before the others."""
        if len(self.compared) <= LINES:
            return self.compared
        return sorted(self.compared, key=lambda one: one.action not in NOTABLE)[:LINES]

    @property
    def more(self) -> int:
        """How many of the tags have no line."""
        return self.tags - len(self.lines)

    @property
    def matches_nothing(self) -> bool:
        """Where all could be listed."""
        return not self.tags and self.complete and not self.unlisted

    @property
    def counted(self) -> str:
        """How many of those compared come to each action."""
        return counted(self.compared)

    @property
    def uncompared(self) -> int:
        return sum(not one.action for one in self.compared)

    @property
    def is_stale(self) -> bool:
        return self.listed_at is not None and timezone.now() - self.listed_at > STALE

    @property
    def overlaps_shown(self) -> list[Overlap]:
        return self.overlaps[:OVERLAPS]

    @property
    def more_overlaps(self) -> int:
        return len(self.overlaps) - len(self.overlaps_shown)


_turns = BoundedSemaphore(LOOKS_AT_ONCE)
_under_way: dict[str, "Box"] = {}


class Box:
    """Calls at once, until the time is over. The sides are what the calls go to."""

    def __init__(self) -> None:
        self._began = monotonic()
        self.ended = False
        self.sides: list[Side] = []

    def end(self) -> None:
        """What is under way is given up at once."""
        self.ended = True
        for side in self.sides:
            side.client.abort()

    def is_over(self) -> bool:
        return self.ended or self.left(BOX_SECONDS) <= 0

    def left(self, seconds: float) -> float:
        """Until so many seconds after the beginning."""
        return self._began + seconds - monotonic()

    def each(
        self,
        call: Callable[[Any], Any],
        items: Iterable[Any],
        seconds: float | None = None,
        is_something: Callable[[], bool] = lambda: True,
    ) -> Iterator[tuple[Any, Any]]:
        """Items with their results, as these come, as far as they are there so many seconds after the beginning.

        Without `seconds`, or while there is not something, until the time is over. Few wait for a thread: to hand over
        all of many items takes longer than there is time. What is late ends with the box and keeps its thread until
        then, none of the next calls'.
        """
        rest, pending = iter(items), dict[Future[Any], Any]()
        pool = ThreadPoolExecutor(CALLS_AT_ONCE, "glance")
        try:
            while (left := self.left(seconds if (enough := is_something()) and seconds else BOX_SECONDS)) > 0:
                pending |= {pool.submit(call, item): item for item in islice(rest, 2 * CALLS_AT_ONCE - len(pending))}
                if not pending:
                    return
                for future in wait(pending, left if enough else LOOK_SECONDS, FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        except Cancelled:
            return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def look(
    rule: SyncRule,
    *,
    has_target: bool,
    refresh: bool = False,
    others: QuerySet[SyncRule] | None = None,
    asker: str = "",
) -> Glance:
    """Compares what matches, a saved rule or not. Without a target it tells only what the source has.

    others: rules of which it is told when they write to the same names. asker: an earlier look for the same one is of
    no use any more and ends now.
    """
    if asker and (earlier := _under_way.get(asker)):
        earlier.end()
    if not _turns.acquire(timeout=TURN_SECONDS):
        return Glance(problem="The console looks at many rules at this moment. Refresh tries again.")
    box = Box()
    if asker:
        _under_way[asker] = box
    try:
        return _look(rule, box, has_target, refresh, others)
    finally:
        if _under_way.get(asker) is box:
            del _under_way[asker]
        _turns.release()


def _look(rule: SyncRule, box: Box, has_target: bool, refresh: bool, others: QuerySet[SyncRule] | None) -> Glance:
    seen = Glance()
    try:
        opened = partial(
            open_side, cancelled=box.is_over, seconds=BOX_SECONDS, connections=CALLS_AT_ONCE, refresh=refresh
        )
        source = opened(rule.source, "source")
        box.sides.append(source)
        seen.listed_at = datetime.fromtimestamp(source.client.known.at, UTC)
        spec = spec_of_rule(rule)
        pairs = _list(seen, box, source, spec)
        if seen.problem:
            return seen
        if has_target:
            arriving = ((name, spec.target_repository(name), tag) for name, tag in pairs)
            if others is not None:
                found = overlaps(rule, arriving, others, lambda: box.left((LISTING_SECONDS + BOX_SECONDS) / 2) <= 0)
                seen.overlaps, seen.overlaps_known = found or [], found is not None
            box.sides.append(opened(rule.target, "target"))
            _compare(seen, box, spec, pairs[:COMPARED])
        else:
            seen.compared = [_alone(spec, *pair) for pair in pairs[:LINES]]
    except (OciError, CredentialKeyMissing) as error:
        setattr(seen, "target_problem" if len(box.sides) == 2 or seen.tags else "problem", str(error))
    finally:
        box.end()
        for side in box.sides:
            side.client.close()
            side.keep()
    return seen


def _alone(spec: Spec, repository: str, tag: str) -> Planned:
    return Planned(repository, spec.target_repository(repository), tag, None)


def _list(seen: Glance, box: Box, source: Side, spec: Spec) -> list[tuple[str, str]]:
    """The (repository, tag) pairs that match, as far as they are listed in time. Raises OciError."""
    names: list[str] = []
    tags: dict[str, list[str]] = {}

    def list_names(_: None) -> bool:
        for name in list_repositories(source, spec):
            names.append(name)
        return True

    def list_matching(repository: str) -> OciError | None:
        try:
            list_tags(source.client, spec, repository, tags[repository])
        except Cancelled:
            raise
        except OciError as error:
            return error
        return None

    all_named = any(done for _, done in box.each(list_names, [None], LISTING_SECONDS / 2, lambda: bool(names)))
    tags.update((name, []) for name in list(names))
    listed = dict(box.each(list_matching, tags, LISTING_SECONDS, lambda: any(tags.values())))
    # What was not listed to its end counts as far as it came.
    found = {name: sorted(tags[name]) for name in tags if not listed.get(name)}
    seen.unlisted = [
        Planned(name, spec.target_repository(name), "", None, listed[name]) for name in tags if listed.get(name)
    ]
    pairs = [(name, tag) for name in found for tag in found[name]]
    seen.repositories, seen.tags = sum(map(bool, found.values())), len(pairs)
    seen.complete = all_named and len(listed) == len(tags)
    if not (seen.complete or pairs or seen.unlisted):
        what = "the tags of any repository that matches" if tags else "its repositories"
        seen.problem = (
            f"The source did not list {what} within {BOX_SECONDS:.0f} seconds, so it is not known yet what matches."
        )
    return pairs


def _compare(seen: Glance, box: Box, spec: Spec, pairs: list[tuple[str, str]]) -> None:
    """Raises OciError when the target does not answer at all."""
    source, target = (side.client for side in box.sides)
    seen.compared = [_alone(spec, *pair) for pair in pairs]
    if not any(True for _ in box.each(lambda _: target.ping(), [None])):
        seen.target_problem = "The target did not answer in time."
        return
    planner = Planner(source, target, spec)
    for place, planned in box.each(lambda place: decide(planner, spec, *pairs[place]), range(len(pairs))):
        seen.compared[place] = planned
    moves = moving(seen.compared)
    seen.volume = volume_of(moves, whole=seen.complete and _all_told(seen), described=spec.with_referrers)
    seen.volume.fill(box.each(partial(blobs_of, source.contents_of), moves[:WEIGHED]))


def _all_told(seen: Glance) -> bool:
    """Whether it is known of every tag what becomes of it."""
    return not seen.unlisted and seen.tags == len(seen.compared) and all(one.decision for one in seen.compared)
