"""One step of a check: lists some repositories on both sides, compares their tags by digest, and stops in time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, takewhile
from time import monotonic
from typing import TypeVar

from sync.models import SyncRule
from sync.oci.errors import Cancelled, Denied, NotFound, OciError, TooManyRequests, Unauthorized
from sync.oci.list_api import Bookmark
from sync.oci.reference import NAMESPACE_TOP
from sync.registries import Registry
from sync.replication.plan import Action, find_tags_after, list_repositories
from sync.services.connect import reach
from sync.services.drift.findings import Finding, Stage, Step, What
from sync.services.drift.lists import Kept, Key, Listing
from sync.services.drift.looking import FINDINGS, Item, Looker, Outcome
from sync.services.drift.sides import CALL_SECONDS, CALLS_AT_ONCE, late, open_side
from sync.services.spec import spec_of_rule

LISTED_AT_ONCE = 8
# So many names of each list are read beside others; a longer one is read on alone, once it is its turn.
READ_AT_ONCE = 10_000
# Two for each call at once: even a slow registry answers them soon enough to stop in time.
COMPARED_AT_ONCE = 2 * CALLS_AT_ONCE

Thing = TypeVar("Thing")


def in_groups(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    waiting = iter(things)
    while group := list(islice(waiting, size)):
        yield group


class Comparing:
    """One step. Its results go into `step`, whose progress says at any time what is done."""

    def __init__(self, rule: SyncRule, step: Step, seconds: float) -> None:
        """seconds: nothing new is begun afterwards. Raises CredentialKeyMissing."""
        self._step, self._progress = step, step.progress
        self._spec = replace(spec_of_rule(rule), with_referrers=False)
        self._kept = Kept(step.progress.key)
        self._ends = monotonic() + seconds
        self._give_up_at = 0.0
        self._compared = 0
        self._refused: dict[str, OciError] = {}
        self._source = open_side(rule.source, "source", self._is_late)
        self._target = open_side(rule.target, "target", self._is_late)
        self._looker = Looker(self._source.client, self._target.client, self._spec)
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, "drift")

    def close(self) -> None:
        self._give_up_at = 0.0
        self._pool.shutdown(wait=False, cancel_futures=True)
        for side in (self._source, self._target):
            side.client.abort()
            side.client.close()
        if self._progress.is_done:
            self._kept.forget()
        else:
            self._kept.save()

    def run(self) -> None:
        """Raises OciError when a side is away, refuses our credential, or the source lists nothing."""
        self._allow_time()
        for side, refusal in self._pool.map(self._reach, (self._source, self._target)):
            if refusal:
                self._refused[side] = refusal
        if self._progress.stage is Stage.SOURCE and self._through(self._names()):
            self._enter(Stage.TARGET)
        if self._progress.stage is Stage.TARGET and not self._is_over() and self._through(self._others()):
            self._enter(Stage.DONE)

    def _enter(self, stage: Stage) -> None:
        self._progress.stage, self._progress.repository, self._progress.tag = stage, "", ""

    def _is_late(self) -> bool:
        return monotonic() > self._give_up_at

    def _allow_time(self) -> None:
        self._give_up_at = monotonic() + CALL_SECONDS

    def _reach(self, side: Registry) -> tuple[str, OciError | None]:
        return side.client.side, reach(side.client)

    def _names(self) -> Sequence[str] | None:
        """The repositories of the source that match, sorted; None while their list is not complete. Raises OciError."""
        return self._repositories("source", lambda after: list_repositories(self._source, self._spec, after))

    def _others(self) -> Sequence[str] | None:
        """Those that the target alone has, as the source would name them; none where names are spelled out."""
        if self._spec.repositories.literals() is not None:
            return ()
        names = self._names()
        if names is None:
            return None
        known = frozenset(names)
        try:
            return self._repositories("target", lambda after: self._unknown_there(after, known))
        except OciError as error:
            self._step.others_problem = str(self._told(late(error)))
            return ()

    def _repositories(self, side: str, ask: Callable[[Bookmark], Iterable[str]]) -> Sequence[str] | None:
        """A list of repositories; None while it is not complete. Raises OciError."""
        listing = self._kept.get((side, "")) or Listing()
        if not listing.complete:
            self._allow_time()
            listing = listing.read_on(ask)
            self._kept.set((side, ""), listing)
            self._step.listing = 0 if listing.complete else len(listing.names)
        return listing.names if listing.complete else None

    def _unknown_there(self, after: Bookmark, known: frozenset[str]) -> Iterator[str]:
        """What lies where the rule writes. At the top level names of several parts arrive, too."""
        at = self._spec.target_namespace
        listed = self._target.client.catalog(after) if at == NAMESPACE_TOP else self._target.repositories(at, after)
        return (name for name in self._as_in_source(listed) if name not in known)

    def _as_in_source(self, listed: Iterable[str]) -> Iterator[str]:
        """Of names of the target: those that the rule could have made. Its own source is none of them."""
        for name in listed:
            from_ = self._spec.source_repository(name)
            if from_ and not (self._spec.same_instance and self._spec.selects(name)):
                yield from_

    def _is_over(self) -> bool:
        """Never before anything was compared: however slow the lists are, each step gets on."""
        return self._compared > 0 and monotonic() >= self._ends

    def _through(self, names: Sequence[str] | None) -> bool:
        """Compares what is left of these repositories; whether that was all of it. Raises OciError."""
        if names is None:
            return False
        at, tag = self._progress.repository, self._progress.tag
        left = [name for name in names if name > at or (tag and name == at)]
        while left:
            if self._is_over():
                return False
            listed = self._list(left[:LISTED_AT_ONCE])
            if not listed:
                return False
            for items in in_groups((item for name in listed for item in self._items(name)), COMPARED_AT_ONCE):
                if self._is_over():
                    return False
                self._compare(items)
            left = left[len(listed) :]
        return True

    def _list(self, names: Sequence[str]) -> list[str]:
        """Lists the tags of repositories on both sides, all at once, then what is left of the first alone.

        Returns those at the front that are listed; none where the first takes another step.
        Raises OciError when a side is away.
        """
        first = names[0]
        fresh = [key for name in names for key in self._keys(name) if self._kept.get(key) is None]
        begun_now = {name for _, name in fresh}
        self._read(fresh, READ_AT_ONCE)
        if not self._is_listed(first) and (first not in begun_now or monotonic() < self._ends):
            self._read([key for key in self._keys(first) if not self._listing(key).is_read])
        listed = list(takewhile(self._is_listed, names))
        self._step.listing = 0 if listed else sum(len(self._listing(key).names) for key in self._keys(first))
        return listed

    def _keys(self, name: str) -> list[Key]:
        """A repository that the target alone has needs no look at the source."""
        sides = ("source", "target") if self._progress.stage is Stage.SOURCE else ("target",)
        return [(side, name) for side in sides]

    def _listing(self, key: Key) -> Listing:
        return self._kept.get(key) or Listing()

    def _is_listed(self, name: str) -> bool:
        return all(self._listing(key).is_read for key in self._keys(name))

    def _read(self, keys: Sequence[Key], limit: int | None = None) -> None:
        """Reads lists of tags on, all at once. Raises OciError when a side is away.

        limit: for each; what is late then may be so because of the others, and is read alone another time.
        """
        self._allow_time()
        asked = {key: self._pool.submit(self._read_tags, key, self._listing(key), limit) for key in keys}
        for key, reading in asked.items():
            try:
                listing = reading.result()
            except OciError as error:
                beside_others = limit is not None and isinstance(error, Cancelled)
                listing = self._listing(key) if beside_others else Listing(error=self._told(late(error)))
            self._kept.set(key, listing)

    def _read_tags(self, key: Key, listing: Listing, limit: int | None) -> Listing:
        side, name = key
        client, there = self._source.client, name
        if side == "target":
            client, there = self._target.client, self._spec.target_repository(name)
        return listing.read_on(lambda after: find_tags_after(client, self._spec, there, after), limit)

    def _told(self, error: OciError) -> OciError:
        """The error of one thing, to be told of it. Raises what concerns all of its side: the check waits then."""
        if isinstance(error, TooManyRequests):
            raise error
        if error.side in self._refused and isinstance(error, Unauthorized | Denied):
            raise self._refused[error.side]
        if error.outage:
            self._allow_time()
            reach((self._source if error.side == "source" else self._target).client)
        return error

    def _items(self, name: str) -> Iterator[Item]:
        """What is left to compare of a repository, by tag, and its end. Nothing of it is known without our tags."""
        *ours, theirs = map(self._listing, self._keys(name))
        held = frozenset(tag for listing in ours for tag in listing.names)
        there = frozenset(theirs.names)
        error = next((listing.error for listing in ours if listing.error), None)
        at = self._progress.tag if name == self._progress.repository else ""
        for tag in () if error else sorted(held | there):
            if tag > at:
                yield Item(name, tag, tag in held, bool(theirs.error) or tag in there)
        # Of a repository that is not there some registries say so in words of their own: each tag was asked for.
        if not error and not isinstance(theirs.error, NotFound):
            error = theirs.error
        yield Item(name, ours=bool(held), error=error)

    def _compare(self, items: Sequence[Item]) -> None:
        """Raises OciError when a side is away."""
        self._allow_time()
        try:
            for outcome in self._pool.map(self._looker.look, items):
                self._take(outcome)
                self._compared += 1
        except Cancelled as error:
            raise late(error) from None

    def _take(self, outcome: Outcome) -> None:
        """Counts it; all before it is done. Raises OciError when a side is away."""
        item, progress = outcome.item, self._progress
        error = self._told(outcome.error) if outcome.error and item.tag else outcome.error
        what = What.UNKNOWN if error else FINDINGS.get(outcome.action) if outcome.action else None
        if what and not item.ours and not error:
            what = What.EXTRA
        if item.tag and item.ours and outcome.action is not Action.VANISHED:
            progress.tags += 1
            progress.equal += outcome.action is Action.UNCHANGED
            progress.left_out += outcome.action is Action.LEFT_OUT
        if what:
            names = item.repository, self._spec.target_repository(item.repository), item.tag
            digests = outcome.digest, outcome.target_digest
            self._step.add(Finding(what, *names, *digests, str(error) if error else ""))
        if not item.tag:
            progress.repositories += item.ours
            for key in self._keys(item.repository):
                self._kept.drop(key)
        progress.repository, progress.tag = item.repository, item.tag
