"""Answers a run that asks whether it may write tags."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from sync.models import SyncRule, SyncTask, TagOrigin, Trigger
from sync.replication.consent import Answer, Question
from sync.services.order import locks
from sync.services.order.places import Places, TagKey, discover, known_places, note, origin
from sync.services.spec import spec_of_rule

# Somebody asked for these: they do what their rule says.
BY_A_PERSON = (Trigger.MANUAL, Trigger.COMMAND)


def is_contested(task: SyncTask) -> bool:
    """Whether others write or push to the target: rules that start or end there, or a registry that tells of pushes."""
    if task.target is not None and task.target.hook_secret_hash:
        return True
    others = SyncRule.objects.filter(~Q(pk=task.rule_id or 0), enabled=True)
    return others.filter(Q(source=task.target_id) | Q(target=task.target_id)).exists()


@dataclass(frozen=True)
class _Asked:
    source: TagKey
    target: TagKey
    digest: str
    there: str


class Umpire:
    """For one worker at one task; its claim owns what was granted, until what became of it is written down."""

    def __init__(self, task: SyncTask, claim: str) -> None:
        self._task = task
        self._claim = claim
        self._automatic = task.trigger not in BY_A_PERSON
        onward = SyncRule.objects.filter(source=task.target_id, enabled=True)
        self._onward = [spec_of_rule(rule) for rule in onward]
        self._done: set[TagKey] = set()

    def goes_on(self, repository: str, tag: str) -> bool:
        """Whether an enabled rule carries this tag on from the target: people may push there, too."""
        return any(spec.selects(repository) and spec.tags.matches(tag) for spec in self._onward)

    def done(self, repository: str, tag: str) -> None:
        """The run is done with this tag of the target."""
        self._done.add(TagKey(self._task.target_id or 0, repository, tag))

    def release(self) -> None:
        """Others may write what is done."""
        locks.release(self._done, self._claim)
        self._done.clear()

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One for each, in their order."""
        asked = [self._read(question) for question in questions]
        with transaction.atomic():
            ours = locks.take({one.target for one in asked}, self._claim)
            superseded = self._judge([one for one in asked if one.target in ours])
            locks.release(superseded, self._claim)
        answers = dict.fromkeys(ours, Answer.GRANTED) | dict.fromkeys(superseded, Answer.SUPERSEDED)
        return [answers.get(one.target, Answer.BUSY) for one in asked]

    def _read(self, question: Question) -> _Asked:
        source = TagKey(self._task.source_id or 0, question.repository, question.tag)
        target = TagKey(self._task.target_id or 0, question.target_repository, question.tag)
        return _Asked(source, target, question.digest, question.there)

    def _judge(self, asked: Sequence[_Asked]) -> set[TagKey]:
        """The targets that hold what was pushed later. Of the others it is noted what they are about to hold."""
        places = known_places({key for one in asked for key in (one.source, one.target)})
        superseded: set[TagKey] = set()
        noted: list[TagOrigin] = []
        for one in asked:
            place = self._place(one.digest, one.source, one.target, places, noted)
            if self._automatic and one.there and self._place_there(one, places, noted) > place:
                superseded.add(one.target)
                continue
            noted.append(origin(one.target, one.digest, place, written=True))
            if one.digest not in places.get(one.source, {}):
                noted.append(origin(one.source, one.digest, place))
        note(noted)
        return superseded

    def _place_there(self, one: _Asked, places: Places, noted: list[TagOrigin]) -> int:
        if self.goes_on(one.target.repository, one.target.tag):
            return self._place(one.there, one.target, one.source, places, noted)
        return _known(one.there, one.target, one.source, places) or 0

    def _place(self, digest: str, here: TagKey, beyond: TagKey, places: Places, noted: list[TagOrigin]) -> int:
        """Of what a tag holds that people push to, and from which it is carried on.

        What followed on something known, and nobody told of, was pushed while nobody listened: it is the newest.
        """
        known = _known(digest, here, beyond, places)
        if known is None and places.get(here):
            noted.append(discover(places, here, digest))
            known = noted[-1].place
        return known or 0


def _known(digest: str, here: TagKey, beyond: TagKey, places: Places) -> int | None:
    """As it is known here, else on the other side."""
    return places.get(here, {}).get(digest, places.get(beyond, {}).get(digest))
