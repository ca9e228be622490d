"""What a registry told the receiver: a hint that something changed, never the content to copy."""

from django.db import models
from django.utils import timezone

from sync.models.instance import Instance


class Notification(models.Model):
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="notifications")
    repository = models.CharField(max_length=255)
    tag = models.CharField(max_length=128, blank=True)
    digest = models.CharField(max_length=140, blank=True)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["repository"], name="notification_repository"),
            models.Index(fields=["digest"], name="notification_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"
