"""What a rule deletes in the target: candidates gather while its task runs, and go when all else is done.

A candidate is a tag that the rule brought, and that is no longer in the source. Few go at once; more than the rule's
safety share, or all of a repository, wait for the word of a person. Parts of the task delete them, like all its work.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from sync.models import OPEN, Delivery, Removal, Status, SyncRule, SyncTask, TaskPart, TaskRepository
from sync.replication.spec import Spec
from sync.services import tasklog

CHUNK = 250
SHOWN = 100
ASKED = "would be deleted in the target"


def is_asked_for(task: SyncTask) -> bool:
    return bool(task.snapshot.get("delete_removed"))


def note_gone(task: SyncTask, repository: TaskRepository, tags: Collection[str]) -> None:
    """These tags were asked for, and are not in the source."""
    _note(task, repository, _brought(task).filter(repository=repository.target_name, tag__in=tags), doubtful=False)


def note_unlisted(task: SyncTask, spec: Spec, repository: TaskRepository, listed: Collection[str]) -> None:
    """Just these of the repository's tags match: what the rule brought of others is no longer there.

    Nothing at all, of a repository that something was brought of, is for a person to judge.
    """
    known = _brought(task).filter(repository=repository.target_name)
    there = set(listed)
    gone = [row.pk for row in known.only("pk", "tag") if row.tag not in there and spec.tags.matches(row.tag)]
    for at in range(0, len(gone), CHUNK):
        _note(task, repository, Delivery.objects.filter(pk__in=gone[at : at + CHUNK]), doubtful=not there)


def repositories_brought(task: SyncTask, spec: Spec) -> Iterable[str]:
    """Of the source, as far as the rule still selects them: some may be there no longer."""
    names = _brought(task).order_by().values_list("repository", flat=True).distinct()
    return (name for name in map(spec.source_repository, names) if name is not None)


def _brought(task: SyncTask) -> QuerySet[Delivery]:
    return Delivery.objects.filter(rule_id=task.rule_id, target_id=task.target_id, brought=True)


def _note(task: SyncTask, repository: TaskRepository, deliveries: QuerySet[Delivery], *, doubtful: bool) -> None:
    rows = [
        Removal(task=task, repository=repository, tag=tag, digest=digest, doubtful=doubtful)
        for tag, digest in deliveries.values_list("tag", "digest")
    ]
    Removal.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def go_on(task: SyncTask) -> bool:
    """When nothing else is left of a task, in the transaction that would close it: True when it goes on, or waits.

    The task is locked.
    """
    candidates = task.removals.filter(taken=False)
    _drop_settled(task)
    number = candidates.count()
    if task.removals_allowed is None and number:
        task.removals_allowed = _judge(task, number)
        if task.removals_allowed is None and _join_question(task):
            return False
        SyncTask.objects.filter(pk=task.pk).update(removals_allowed=task.removals_allowed, reason=task.reason)
    if task.removals_allowed is None and number:
        return True
    if task.removals_allowed and number:
        _make_parts(task, list(candidates.select_related("repository")))
        return True
    if number:
        tasklog.say(task, tasklog.WARNING, f"{_tags(number)} kept in the target.")
    task.removals.all().delete()
    return False


def _drop_settled(task: SyncTask) -> None:
    """What another task has deleted meanwhile, or brought anew with another digest, is no candidate any more."""
    brought = _brought(task).filter(
        repository=OuterRef("repository__target_name"), tag=OuterRef("tag"), digest=OuterRef("digest")
    )
    task.removals.filter(~Exists(brought), taken=False).delete()


def _join_question(task: SyncTask) -> bool:
    """Puts the candidates to the question that an older task of the rule asks already, if there is one.

    It is locked, too, and never a younger one: two that end at once do not wait for each other, and what is answered at
    this moment gets nothing that the answer did not see.
    """
    same = SyncTask.objects.filter(rule=task.rule_id, source=task.source_id, target=task.target_id, status__in=OPEN)
    older = asks(same.filter(pk__lt=task.pk)).order_by("pk").values_list("pk", flat=True).first()
    first = SyncTask.objects.select_for_update(no_key=True).filter(pk=older or 0).first()
    if first is None or not is_asking(first):
        return False
    for one in task.removals.filter(taken=False).select_related("repository"):
        repository, _ = TaskRepository.objects.get_or_create(
            task=first,
            name=one.repository.name,
            defaults={"target_name": one.repository.target_name, "status": Status.SUCCEEDED, "listed": True},
        )
        fields = {"task": first, "repository": repository, "tag": one.tag, "digest": one.digest}
        Removal.objects.bulk_create([Removal(**fields, doubtful=one.doubtful)], ignore_conflicts=True)
    task.removals.all().delete()
    task.reason = ""
    tasklog.say(task, tasklog.INFO, f"Task {first.pk} asks whether to delete what is gone from the source.")
    return True


def keep(task: SyncTask) -> None:
    """A person wants to keep what the task asks about: the rule deletes it no more, as if it had not brought it."""
    same = {"tag": OuterRef("tag"), "digest": OuterRef("digest"), "repository__target_name": OuterRef("repository")}
    _brought(task).filter(Exists(task.removals.filter(taken=False, **same))).update(brought=False)


def _judge(task: SyncTask, number: int) -> bool | None:
    """Whether so many may go; None as long as a person is asked, which the task's reason says."""
    if task.stop_requested:
        return False
    brought = _brought(task).count()
    share = int(task.snapshot.get("removal_share", 0))
    doubtful = task.removals.filter(doubtful=True).exists()
    was_asked = ASKED in task.reason
    if number * 100 <= brought * share and not doubtful and not was_asked:
        return True
    first = task.removals.aggregate(at=Min("created_at"))["at"]
    if first is not None and first < timezone.now() - timedelta(hours=settings.OUTAGE_HOURS):
        tasklog.say(task, tasklog.WARNING, "Nobody has answered whether to delete.")
        return False
    why = (
        "whole repositories are gone, or empty"
        if doubtful
        else f"more than the {share} % that the rule deletes unasked"
    )
    reason = f"{number} of {_tags(brought)} that the rule has brought {ASKED}: {why}."
    if task.reason != reason:
        task.reason = reason
        tasklog.say(task, tasklog.WARNING, f"{reason} Somebody must say whether to.")
    return None


def _tags(number: int) -> str:
    return "1 tag" if number == 1 else f"{number} tags"


def _make_parts(task: SyncTask, candidates: Sequence[Removal]) -> None:
    by_repository: defaultdict[TaskRepository, list[str]] = defaultdict(list)
    for one in candidates:
        by_repository[one.repository].append(one.tag)
    parts = [
        TaskPart(task=task, repository=repository, tags=tags[at : at + CHUNK], removing=True)
        for repository, tags in by_repository.items()
        for at in range(0, len(tags), CHUNK)
    ]
    TaskPart.objects.bulk_create(parts)
    task.removals.update(taken=True)
    needless = sum(repository.needless for repository in by_repository)
    for repository, tags in by_repository.items():
        again = TaskRepository.objects.filter(pk=repository.pk)
        again.update(status=Status.WAITING, planned=F("planned") + len(tags))
    SyncTask.objects.filter(pk=task.pk).update(
        planned=F("planned") + len(candidates), repository_count=F("repository_count") + needless, reason=""
    )
    tasklog.say(task, tasklog.INFO, f"{_tags(len(candidates))} to delete in the target.")


def asks(tasks: QuerySet[SyncTask]) -> QuerySet[SyncTask]:
    """Those that wait for a person to say whether to delete."""
    return tasks.filter(is_asking_for())


def is_asking_for() -> Q:
    candidates = Removal.objects.filter(task=OuterRef("pk"), taken=False)
    parts = TaskPart.objects.filter(task=OuterRef("pk"))
    return Q(Exists(candidates), ~Exists(parts), removals_allowed=None, stop_requested=False)


def is_asking(task: SyncTask) -> bool:
    return asks(SyncTask.objects.filter(pk=task.pk)).exists()


def asking(rules: Iterable[SyncRule]) -> dict[int | None, int]:
    """By rule: its task that waits for a person to say whether to delete."""
    deleting = [rule.pk for rule in rules if rule.delete_removed]
    open_tasks = SyncTask.objects.filter(rule__in=deleting, status__in=OPEN)
    return dict(asks(open_tasks).values_list("rule", "pk")) if deleting else {}


@dataclass(frozen=True)
class Question:
    """What a person is asked to delete, the first of it."""

    number: int
    shown: list[Removal]
    mark: str

    @property
    def more(self) -> int:
        return self.number - len(self.shown)


def question(task: SyncTask) -> Question | None:
    """What the task asks; None when it asks nothing."""
    if not task.is_open or not is_asked_for(task) or not is_asking(task):
        return None
    candidates = task.removals.filter(taken=False).select_related("repository").order_by("repository", "tag")
    return Question(candidates.count(), list(candidates[:SHOWN]), mark_of(task))


def mark_of(task: SyncTask) -> str:
    """Tells one set of candidates from another."""
    found = task.removals.filter(taken=False).aggregate(number=Count("pk"), last=Max("pk"))
    return f"{found['number']}-{found['last']}"


def doomed(repository: TaskRepository) -> dict[str, str]:
    """By tag of the target repository: the digest with which it is to go."""
    return dict(Removal.objects.filter(repository=repository, taken=True).values_list("tag", "digest"))


def settled(task: SyncTask, repository: TaskRepository, removed: Collection[str], others: Collection[str]) -> None:
    """In the transaction that writes what became of these tags."""
    gone = Removal.objects.filter(repository=repository, tag__in=removed, taken=True)
    for tag, digest in gone.values_list("tag", "digest"):
        # What was brought under the tag since has another digest.
        _brought(task).filter(repository=repository.target_name, tag=tag, digest=digest).delete()
    Removal.objects.filter(repository=repository, tag__in=[*removed, *others], taken=True).delete()
