"""What a rule has brought and verified. Written when a digest changes."""

from django.db import models
from django.utils import timezone

from sync.models.instance import Instance
from sync.models.rule import SyncRule


class Delivery(models.Model):
    rule = models.ForeignKey(SyncRule, on_delete=models.CASCADE, related_name="deliveries")
    target = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="deliveries")
    repository = models.CharField("target repository", max_length=512)
    tag = models.CharField(max_length=128)
    digest = models.CharField(max_length=140, db_index=True)
    delivered_at = models.DateTimeField(default=timezone.now)
    brought = models.BooleanField(default=True, help_text="No: it was there already, equal.")

    class Meta:
        ordering = ["repository", "tag"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["rule", "target", "repository", "tag"], name="delivery_once_per_tag")
        ]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"
