"""Rules and tasks as the engine knows them."""

from sync.models import SyncRule, SyncTask
from sync.replication.spec import Spec


def spec_of_rule(rule: SyncRule) -> Spec:
    """The rule as it is now."""
    return Spec.from_snapshot(rule.snapshot(), same_instance=rule.source_id == rule.target_id)


def spec_of_task(task: SyncTask) -> Spec:
    """The rule as it was when it was triggered."""
    return Spec.from_snapshot(task.snapshot, same_instance=task.source_id == task.target_id)
