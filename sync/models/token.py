"""What a pipeline shows in place of a person: one role on one instance, for a while."""

from django.conf import settings
from django.db import models

from sync.models.instance import Instance


class ApiToken(models.Model):
    """Only the hash of it is kept: it is shown once. What it may do is looked up at each use: sync.services.tokens.

    The names are those under which tasks tell who started them: of those that are not revoked, each once.
    """

    class Role(models.TextChoices):
        VIEW = "view_instance", "Viewer"
        OPERATE = "operate_instance", "Operator"

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="tokens")
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=64)
    role = models.CharField(max_length=32, choices=Role, default=Role.OPERATE)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "name"],
                condition=models.Q(revoked_at=None),
                name="token_once_per_name",
            )
        ]

    def __str__(self) -> str:
        return self.name
