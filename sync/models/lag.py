"""How long what was pushed took to be available in the target."""

from django.db import models
from django.utils import timezone

from sync.models.rule import SyncRule


class Lag(models.Model):
    """One copied resource of a push task; kept for a day. Seconds from the notification to the tag in the target."""

    rule = models.ForeignKey(SyncRule, on_delete=models.CASCADE, related_name="lags")
    seconds = models.FloatField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["rule", "at"], name="lag_of_rule")]

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s"
