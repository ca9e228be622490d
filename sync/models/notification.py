"""What a registry told the receiver: a hint that something changed, never the content to copy."""

from django.db import models
from django.utils import timezone

from sync.models.instance import Instance


class Notification(models.Model):
    """Its id is its place in the order of pushes, the only one there is between registries.

    `own`: the console wrote the tag itself, and tells rules that start there. `echo`: the registry told of that.
    """

    class Action(models.TextChoices):
        PUSH = "push", "Push"
        DELETE = "delete", "Delete"

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="notifications")
    action = models.CharField(max_length=8, choices=Action, default=Action.PUSH)
    repository = models.CharField(max_length=255)
    tag = models.CharField(max_length=128, blank=True)
    digest = models.CharField(max_length=140, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    own = models.BooleanField(default=False)
    echo = models.BooleanField(default=False)
    # Blank until the rules that it concerns have their tasks.
    handled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["repository"], name="notification_repository"),
            models.Index(fields=["digest"], name="notification_digest"),
            models.Index(fields=["instance", "-id"], name="notification_of_instance"),
            models.Index(fields=["id"], condition=models.Q(handled_at=None), name="notification_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"
