"""Which regions rules may join: data residency."""

from django.db import models


class RegionPair(models.Model):
    """From this region to that one rules may copy. While there is no pair at all, they may join any regions."""

    source = models.CharField("from region", max_length=64)
    target = models.CharField("to region", max_length=64)

    class Meta:
        ordering = ["source", "target"]
        constraints = [models.UniqueConstraint(fields=["source", "target"], name="region_pair_once")]

    def __str__(self) -> str:
        return f"{self.source} to {self.target}"
