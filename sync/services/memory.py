"""What a rule remembers of its target: digests it brought or verified, and how far a quick check trusts them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from sync.models import OPEN, Delivery, Status, SyncTask, TaskRepository

# So old may the last look at a tag of the target be; a quick check looks again at what is older.
TRUST = timedelta(days=1)


@dataclass(frozen=True)
class Memory:
    """Of one target repository: digests by tag, and the tags that the target is trusted to hold still."""

    verified: Mapping[str, str] = field(default_factory=dict)
    trusted: Set[str] = frozenset()


def remembered(task: SyncTask, targets: Collection[str], tags: Collection[str] | None = None) -> dict[str, Memory]:
    """What the task's rule remembers of these target repositories, or just of these tags of them, by repository.

    A full check trusts nothing of it.
    """
    known: dict[str, dict[str, str]] = defaultdict(dict)
    young: dict[str, set[str]] = defaultdict(set)
    after = timezone.now() - TRUST
    deliveries = Delivery.objects.filter(rule_id=task.rule_id, target_id=task.target_id, repository__in=targets)
    if tags is not None:
        deliveries = deliveries.filter(tag__in=tags)
    for name, tag, digest, at in deliveries.values_list("repository", "tag", "digest", "delivered_at"):
        known[name][tag] = digest
        if at >= after:
            young[name].add(tag)
    sound = _soundness(task, targets) if task.quick else {}
    return {
        name: Memory(known[name], _trusted(known[name], young[name], sound.get(name)) if task.quick else frozenset())
        for name in targets
    }


def _trusted(known: Mapping[str, str], young: Set[str], sound: bool | None) -> Set[str]:
    """sound: what the last full check found of the repository within TRUST, None if there was none."""
    if sound is None:
        return frozenset(young)
    return frozenset(known) if sound else frozenset()


def _soundness(task: SyncTask, targets: Collection[str]) -> dict[str, bool]:
    """Of the repositories that full checks looked at within TRUST: whether the last of them found all right."""
    checks = TaskRepository.objects.filter(
        ~Q(task__status__in=OPEN),
        task__rule_id=task.rule_id,
        task__target_id=task.target_id,
        task__quick=False,
        task__selection=[],
        task__started_at__gte=timezone.now() - TRUST,
        target_name__in=targets,
    )
    found = checks.order_by("pk").values_list("target_name", "status", "conflict", "failed")
    return {
        name: status == Status.SUCCEEDED and not conflict and not failed for name, status, conflict, failed in found
    }
