"""What must be true when a task has ended. Import after django.setup()."""

from collections.abc import Iterator, Mapping

from django.db.models import Count, Sum

from sync.models import OPEN, Status, SyncTask, TaskPart, TaskRepository, TaskResource
from tests.soak.corpus import Corpus, Key

FINAL = (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED)


def faults_in_the_books(task: SyncTask, planned: int | None) -> Iterator[str]:
    """Sentences about what the database says wrongly of a task that has ended. `planned`: None when it is not known."""
    if task.status not in FINAL:
        yield f"{task} ended as {task.status}"
    if None not in (task.repository_count, planned) and task.planned != planned:
        yield f"{task} planned {task.planned} of {planned}"
    if task.done != task.planned:
        yield f"{task} planned {task.planned} and counts {task.done}"
    if parts := TaskPart.objects.filter(task=task).count():
        yield f"{task} has ended with {parts} parts left"
    if still_open := TaskRepository.objects.filter(task=task, status__in=OPEN).count():
        yield f"{task} has ended with {still_open} repositories open"
    yield from _sums(task)
    yield from _rows(task)


def _sums(task: SyncTask) -> Iterator[str]:
    sums = task.repositories.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in SyncTask.FIELDS})
    for name in SyncTask.FIELDS:
        if sums[f"sum_{name}"] != getattr(task, name):
            yield f"{task} counts {name} {getattr(task, name)}, its repositories {sums[f'sum_{name}']}"


def _rows(task: SyncTask) -> Iterator[str]:
    rows = TaskResource.objects.filter(repository__task=task).order_by()
    for twice in rows.values("repository__name", "tag").annotate(number=Count("pk")).filter(number__gt=1):
        yield f"{task} has {twice['number']} rows for {twice['repository__name']}:{twice['tag']}"
    for outcome in ("copied", "failed"):
        found = rows.filter(outcome=outcome).count()
        if found != getattr(task, outcome):
            yield f"{task} counts {outcome} {getattr(task, outcome)} and has {found} such rows"
    for row in rows.filter(outcome="failed", reason="").select_related("repository"):
        yield f"{task} does not say why {row.repository.name}:{row.tag} failed"


def not_there(corpus: Corpus, began_with: Mapping[Key, int], there: Mapping[Key, str]) -> Iterator[tuple[Key, str]]:
    """Tags of which the target does not hold what the source held when the task began, or something newer.

    Who signs does it after pushing, so the signature of what came while the task ran is for the next task to bring.
    """
    for key, newest in began_with.items():
        name, digest = ":".join(key), there.get(key)
        version = corpus.version(key, digest) if digest else None
        if digest is None:
            yield key, f"{name} is not there"
        elif version is None or version < newest:
            yield key, f"{name} is there in version {version}, not {newest}"
        elif version == newest and corpus.is_signed(key[0]) and (key[0], digest.replace(":", "-")) not in there:
            yield key, f"the signature of {name} is not there"


def said_failed(task: SyncTask, failed: list[TaskResource], key: Key) -> bool:
    """Whether the task said that it failed: by itself, with all tags of its repository, or with all repositories."""
    if task.repository_count is None:
        return bool(task.reason)
    return any(row.repository.name == key[0] and row.tag in ("", key[1]) for row in failed)
