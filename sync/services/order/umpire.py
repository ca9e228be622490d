"""Answers a run that asks whether it may write tags."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from sync.models import SyncRule, SyncTask, TagOrigin, Trigger
from sync.oci.reference import is_digest_tag
from sync.replication.consent import Answer, Question
from sync.services.order import locks
from sync.services.order.places import (
    UNSEEN,
    TagKey,
    awaits_echo,
    discover,
    forget_unseen,
    known_of,
    newest,
    note,
    origin,
)
from sync.services.spec import spec_of_rule

# Somebody asked for these: they do what their rule says.
BY_A_PERSON = (Trigger.MANUAL, Trigger.COMMAND)


def is_contested(task: SyncTask) -> bool:
    """Whether others write or push to the target: rules that start or end there, or a registry that tells of pushes."""
    if (task.target is not None and task.target.hook_secret_hash) or task.snapshot.get("delete_removed"):
        return True
    others = SyncRule.objects.filter(~Q(pk=task.rule_id or 0), enabled=True)
    return others.filter(Q(source=task.target_id) | Q(target=task.target_id)).exists()


@dataclass(frozen=True)
class _Asked:
    source: TagKey
    target: TagKey
    digest: str
    there: str
    looked: bool | None


class Umpire:
    """For one worker at one task; its claim owns what was granted, until what became of it is written down."""

    def __init__(self, task: SyncTask, claim: str) -> None:
        self._task = task
        self._claim = claim
        self._automatic = task.trigger not in BY_A_PERSON
        onward = SyncRule.objects.filter(source=task.target_id, enabled=True)
        self._onward = [spec_of_rule(rule) for rule in onward]
        self._done: set[TagKey] = set()
        # Tags of signatures that were granted: done when a tag of their repository is.
        self._described: set[TagKey] = set()

    def goes_on(self, repository: str, tag: str) -> bool:
        """Whether an enabled rule carries this tag on from the target: people may push there, too."""
        return any(spec.selects(repository) and spec.tags.matches(tag) for spec in self._onward)

    def done(self, repository: str, tag: str) -> None:
        """The run is done with this tag of the target."""
        self._done.add(TagKey(self._task.target_id or 0, repository, tag))
        self._done |= {key for key in self._described if key.repository == repository}

    def release(self) -> None:
        """Others may write what is done."""
        locks.release(self._done, self._claim)
        self._described -= self._done
        self._done.clear()

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One for each, in their order."""
        asked = [self._read(question) for question in questions]
        with transaction.atomic():
            ours = locks.take({one.target for one in asked}, self._claim)
            answers = self._judge([one for one in asked if one.target in ours])
            locks.release({key for key, answer in answers.items() if answer is Answer.SUPERSEDED}, self._claim)
        self._described |= {key for key in ours if is_digest_tag(key.tag)}
        return [answers.get(one.target, Answer.BUSY) for one in asked]

    def _read(self, question: Question) -> _Asked:
        source = TagKey(self._task.source_id or 0, question.repository, question.tag)
        target = TagKey(self._task.target_id or 0, question.target_repository, question.tag)
        return _Asked(source, target, question.digest, question.there, question.looked)

    def _judge(self, asked: Sequence[_Asked]) -> dict[TagKey, Answer]:
        """By target. Of what is granted it is noted what the target is about to hold."""
        bench = _Bench({key for one in asked for key in (one.source, one.target)}, self._claim)
        answers = {one.target: self._judge_one(one, bench) for one in asked}
        bench.note()
        return answers

    def _judge_one(self, one: _Asked, bench: "_Bench") -> Answer:
        if not one.digest:
            return Answer.GRANTED  # a deletion, which needs the lock alone
        try:
            place = bench.place(one.digest, one.source, one.target, one.looked)
            there = self._place_there(one, bench) if self._automatic and one.there else 0
        except _LookAgain:
            return Answer.LOOK_AGAIN
        if there > place:
            return Answer.SUPERSEDED
        bench.will_hold(one, place)
        return Answer.GRANTED

    def _place_there(self, one: _Asked, bench: "_Bench") -> int:
        if self.goes_on(one.target.repository, one.target.tag):
            return bench.place(one.there, one.target, one.source, one.looked)
        return bench.known(one.there, one.target, one.source) or 0


class _LookAgain(Exception):
    """What a tag held when it was looked at is not what it was told to hold last."""


class _Bench:
    """What is known of some tags, and what becomes known while one judges."""

    def __init__(self, keys: set[TagKey], claim: str) -> None:
        self._claim = claim
        self._places, self._unseen = known_of(keys)
        self._noted: list[TagOrigin] = []
        self._seen: set[TagKey] = set()

    def known(self, digest: str, here: TagKey, beyond: TagKey) -> int | None:
        """As it is known here, else on the other side."""
        found = self._places.get(here, {}).get(digest) or self._places.get(beyond, {}).get(digest)
        return found.place if found else None

    def place(self, digest: str, here: TagKey, beyond: TagKey, looked: bool | None) -> int:
        """Of what a tag holds that people push to, and from which it is carried on.

        What followed on something known, or came back after it, and nobody told of, was pushed while nobody listened:
        it is the newest, if the tag holds it still when somebody looks again. Raises _LookAgain.
        """
        held = self._places.setdefault(here, {})
        self._resolve(digest, here)
        last, known = newest(self._places, here), self.known(digest, here, beyond)
        if last is None or last.digest == digest or (known is not None and digest not in held):
            return known or 0
        if known is not None and looked is None:
            raise _LookAgain
        if known is None or (looked and not locks.is_taken(here, self._claim)):
            self._noted.append(discover(self._places, here, digest))
        return self._places[here][digest].place

    def _resolve(self, digest: str, here: TagKey) -> None:
        """A push that was told without its digest was of what the tag holds now, or an echo, if we wrote that. One
        that was told of another digest came too late to count."""
        held = self._places[here]
        for unseen in self._unseen.pop(here, ()):
            self._seen.add(here)
            told, known = unseen.digest.removeprefix(UNSEEN), held.get(digest)
            if not told and known is not None and awaits_echo(known):
                known.echoed = True
                self._noted.append(known)
            elif told in ("", digest) and (known is None or known.place < unseen.place):
                held[digest] = origin(here, digest, unseen.place)
                self._noted.append(held[digest])

    def will_hold(self, one: _Asked, place: int) -> None:
        self._noted.append(origin(one.target, one.digest, place, written=True))
        if one.digest not in self._places.get(one.source, {}):
            self._noted.append(origin(one.source, one.digest, place))

    def note(self) -> None:
        note(self._noted)
        forget_unseen(self._seen)
