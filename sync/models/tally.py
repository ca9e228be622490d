"""What is counted for Prometheus: sums that only grow, so that nobody counts the rows that they are about."""

from typing import Any

from django.db import models

from sync.models.instance import Instance
from sync.models.task import Status


def _number() -> "models.BigIntegerField[Any, Any]":
    return models.BigIntegerField(default=0)


class TaskTally(models.Model):
    """Of all tasks between two instances that ended like this. Added to in the transaction that ends one."""

    source = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    target = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=16, choices=Status)
    tasks = _number()
    copied = _number()
    unchanged = _number()
    conflict = _number()
    superseded = _number()
    failed = _number()
    removed = _number()
    moved_bytes = _number()

    FIELDS = ("copied", "unchanged", "conflict", "superseded", "failed", "removed", "moved_bytes")

    class Meta:
        verbose_name_plural = "task tallies"
        constraints = [models.UniqueConstraint(fields=["source", "target", "status"], name="one_tally_per_end")]

    def __str__(self) -> str:
        return f"{self.tasks} {self.status}"


class ErrorTally(models.Model):
    """Failures of one kind that tasks met at an instance, those that a later try mended included."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=64)
    number = _number()

    class Meta:
        verbose_name_plural = "error tallies"
        constraints = [models.UniqueConstraint(fields=["instance", "kind"], name="one_tally_per_kind")]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"
