"""What is told to others when a task of a rule ends, and whether it got there."""

from django.db import models
from django.utils import timezone

from sync.models.rule import SyncRule
from sync.models.task import SyncTask
from sync.models.webhook import shown_place


class Announcement(models.Model):
    """One delivery of a rule's outgoing webhook."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    rule = models.ForeignKey(SyncRule, on_delete=models.CASCADE, related_name="announcements")
    task = models.ForeignKey(SyncTask, on_delete=models.CASCADE, related_name="announcements")
    url = models.CharField(max_length=500)  # scheme and host of it: the rest may be secret
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, default=timezone.now)
    http_status = models.PositiveSmallIntegerField(default=0)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["rule", "-id"], name="announcement_of_rule"),
            models.Index(fields=["next_try_at"], condition=models.Q(status="waiting"), name="announcement_waiting"),
        ]
        constraints = [models.UniqueConstraint(fields=["rule", "task"], name="announced_once")]

    def __str__(self) -> str:
        return f"task {self.task_id} to {self.place}"

    @property
    def place(self) -> str:
        return shown_place(self.url)
