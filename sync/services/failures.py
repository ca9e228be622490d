"""At which side a task failed, for whoever looks where to mend it."""

from dataclasses import dataclass

from sync.models import Instance, Status, SyncTask, TaskResource

# Of so many failures it is told; the next ones would say the same.
LOOKED_AT = 200
SIDES = ("source", "target")


@dataclass(frozen=True)
class Side:
    """The source or the target of a task, where all its failures are."""

    name: str
    instance: Instance


def side_of(task: SyncTask) -> Side | None:
    """None where a task has not ended, did not fail, failed at both sides or at none, or that instance is deleted."""
    if task.is_open or not (task.failed or task.status == Status.FAILED):
        return None
    failed = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
    sides = set(failed.order_by().values_list("side", flat=True)[:LOOKED_AT]) or _told_by(task.reason)
    for name, instance in zip(SIDES, (task.source, task.target), strict=True):
        if sides == {name} and instance is not None:
            return Side(name, instance)
    return None


def _told_by(reason: str) -> set[str]:
    """Where the task failed as a whole there are no resources; see OciError.reason."""
    return {name for name in SIDES if reason.startswith(f"{name.capitalize()} ")}
