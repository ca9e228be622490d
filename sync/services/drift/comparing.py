"""One step of a check: lists some repositories on both sides, compares their tags by digest, and stops in time."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import TypeVar

from sync.models import SyncRule
from sync.oci.errors import Cancelled, Denied, NotFound, OciError, TooManyRequests, Unauthorized
from sync.oci.reference import NAMESPACE_TOP
from sync.registries import Registry
from sync.replication.plan import Action, Tags, find_tags, list_repositories
from sync.services.connect import reach
from sync.services.drift.findings import Finding, Stage, Step, What
from sync.services.drift.looking import FINDINGS, Item, Looker, Outcome
from sync.services.drift.sides import CALL_SECONDS, CALLS_AT_ONCE, Kept, Lists, late, open_side
from sync.services.spec import spec_of_rule

LISTED_AT_ONCE = 8
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
        self._kept = Kept.of(step.progress.key)
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
            Kept.forget(self._progress.key)
        else:
            self._kept.keep(self._progress.key)

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
        return side.client.side, reach(side)

    def _names(self) -> list[str]:
        """The repositories of the source that match, sorted. Raises OciError."""
        if self._kept.names is None:
            self._allow_time()
            self._kept.names = sorted(set(list_repositories(self._source, self._spec)))
        return self._kept.names

    def _others(self) -> list[str]:
        """Those that the target alone has, as the source would name them; none where names are spelled out."""
        if self._kept.others is None:
            self._kept.others = []
            if self._spec.repositories.literals() is None:
                known = set(self._names())
                try:
                    self._allow_time()
                    self._kept.others = sorted(set(self._as_in_source(self._listed_there())) - known)
                except OciError as error:
                    self._kept.others = None
                    self._step.others_problem = str(self._told(late(error)))
                    return []
        return self._kept.others

    def _listed_there(self) -> Iterator[str]:
        """What lies where the rule writes. At the top level names of several parts arrive, too."""
        at = self._spec.target_namespace
        return self._target.client.catalog() if at == NAMESPACE_TOP else self._target.repositories(at)

    def _as_in_source(self, listed: Iterable[str]) -> Iterator[str]:
        """Of names of the target: those that the rule could have made. Its own source is none of them."""
        for name in listed:
            from_ = self._spec.source_repository(name)
            if from_ and not (self._spec.same_instance and self._spec.selects(name)):
                yield from_

    def _is_over(self) -> bool:
        """Never before anything was compared: however slow the lists are, each step gets on."""
        return self._compared > 0 and monotonic() >= self._ends

    def _through(self, names: Sequence[str]) -> bool:
        """Compares what is left of these repositories; whether that was all of it. Raises OciError."""
        at, tag = self._progress.repository, self._progress.tag
        left = [name for name in names if name > at or (tag and name == at)]
        for group in in_groups(left, LISTED_AT_ONCE):
            if self._is_over():
                return False
            self._list(group)
            for items in in_groups((item for name in group for item in self._items(name)), COMPARED_AT_ONCE):
                if self._is_over():
                    return False
                self._compare(items)
        return True

    def _list(self, group: Sequence[str]) -> None:
        """The tags of repositories on both sides, all at once. Raises OciError when a side is away."""
        self._allow_time()
        asked = {name: self._list_both(name) for name in group if name not in self._kept.lists}
        for name, (ours, theirs) in asked.items():
            found, there = self._listed(ours), self._listed(theirs)
            # Of a repository that is not there some registries say so in words of their own: each tag is asked for.
            errors = [one for one in (found, there) if isinstance(one, OciError)]
            if errors and errors[0] is there and isinstance(there, NotFound):
                errors = []
            self._kept.lists[name] = Lists(
                frozenset(found.matching) if isinstance(found, Tags) else frozenset(),
                frozenset(there.matching) if isinstance(there, Tags) else None,
                errors[0] if errors else None,
            )

    def _list_both(self, name: str) -> tuple["Future[Tags] | None", "Future[Tags]"]:
        """A repository that the target alone has needs no look at the source."""
        in_source = self._progress.stage is Stage.SOURCE
        ours = self._pool.submit(find_tags, self._source.client, self._spec, name) if in_source else None
        return ours, self._pool.submit(find_tags, self._target.client, self._spec, self._spec.target_repository(name))

    def _listed(self, asked: "Future[Tags] | None") -> Tags | OciError:
        try:
            return asked.result() if asked else Tags()
        except OciError as error:
            return self._told(late(error))

    def _told(self, error: OciError) -> OciError:
        """The error of one thing, to be told of it. Raises what concerns all of its side: the check waits then."""
        if isinstance(error, TooManyRequests):
            raise error
        if error.side in self._refused and isinstance(error, Unauthorized | Denied):
            raise self._refused[error.side]
        if error.outage:
            self._allow_time()
            reach(self._source if error.side == "source" else self._target)
        return error

    def _items(self, name: str) -> Iterator[Item]:
        """What is left to compare of a repository, by tag, and its end. Nothing of it is known without our tags."""
        lists = self._kept.lists[name]
        ours, theirs = lists.ours, lists.theirs
        at = self._progress.tag if name == self._progress.repository else ""
        unknown_source = lists.error is not None and lists.error.side == "source"
        tags = () if unknown_source else sorted(ours | (theirs or frozenset()))
        for tag in tags:
            if tag > at:
                yield Item(name, tag, tag in ours, theirs is None or tag in theirs)
        yield Item(name, ours=bool(ours), error=lists.error)

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
            del self._kept.lists[item.repository]
        progress.repository, progress.tag = item.repository, item.tag
