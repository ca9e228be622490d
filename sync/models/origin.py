"""Where in the order of pushes the content of a tag stands, and who is writing a tag at the moment."""

from django.db import models
from django.utils import timezone

from sync.models.instance import Instance


class TagOrigin(models.Model):
    """What a tag of an instance held at some time, with the place of the push that it stems from; 0: not known.

    `written`: the console put it there, or was about to; the registry's notification of it (`echoed`) is no push.
    """

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="origins")
    repository = models.CharField(max_length=512)
    tag = models.CharField(max_length=128)
    digest = models.CharField(max_length=140)
    place = models.BigIntegerField(default=0)
    written = models.BooleanField(default=False)
    echoed = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-place"]
        constraints = [
            models.UniqueConstraint(fields=["instance", "repository", "tag", "digest"], name="origin_once_per_digest")
        ]
        indexes = [models.Index(fields=["at"], name="origin_at")]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


class TagLock(models.Model):
    """One task at a time writes a tag. Valid while a part of a task is held by this claim."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    repository = models.CharField(max_length=512)
    tag = models.CharField(max_length=128)
    claim = models.CharField(max_length=36)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "repository", "tag"], name="one_writer_of_a_tag")]
        indexes = [models.Index(fields=["claim"], name="lock_claim")]

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"
