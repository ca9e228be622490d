"""A rule: what to copy, from where, to where, and how."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from sync.credentials import decrypt, encrypt
from sync.cron import InvalidSchedule, check_expression, check_zone
from sync.models.instance import NAME_HELP, Instance, name_validator
from sync.models.sealed import Sealed, SealedField
from sync.models.webhook import shown_place, webhook_fault
from sync.oci.reference import NAMESPACE_TOP, InvalidReference, check_repository
from sync.replication.pattern import InvalidExpression, compile_expression

# Rules that pushes and schedules start.
ACTING = {"enabled": True, "suspension": ""}


def expression_validator(expression: str) -> None:
    try:
        compile_expression(expression)
    except InvalidExpression as error:
        raise ValidationError(str(error)) from None


def namespace_fault(namespace: str) -> str:
    """Why this cannot be a namespace, in a sentence; blank when it can."""
    if not namespace or namespace == NAMESPACE_TOP:
        return "" if namespace else "Choose one namespace."
    try:
        check_repository(namespace)
    except InvalidReference:
        return (
            "Not a namespace: exactly one name of lower-case letters, digits, “.”, “_”, “-”, with “/” between segments."
        )
    return ""


def _expression(blank_means: str, **options: Any) -> "models.CharField[str, str]":
    return models.CharField(
        max_length=500, blank=True, validators=[expression_validator], help_text=f"Blank: {blank_means}.", **options
    )


class SyncRule(models.Model):
    name = models.CharField(max_length=64, validators=[name_validator], help_text=NAME_HELP)
    description = models.TextField(blank=True, max_length=1000)
    source = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="rules")
    source_namespace = models.CharField(max_length=255)
    repositories = _expression("every repository of the namespace")
    exclude_repositories = _expression("none is left out")
    tags = _expression("every tag")
    exclude_tags = _expression("none is left out")
    images = models.BooleanField("container images", default=True)
    charts = models.BooleanField("Helm charts", default=True)
    others = models.BooleanField("other artifacts", default=False)
    with_referrers = models.BooleanField(
        "signatures and attestations", default=True, help_text="They travel with the image or chart that they describe."
    )
    target = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="rules_to_here")
    target_namespace = models.CharField(
        max_length=255, blank=True, help_text="Blank: the same name as the source namespace."
    )
    overwrite = models.BooleanField("overwrite tags of the same name", default=False)
    enabled = models.BooleanField(default=True)
    parallelism = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(64)],
        help_text="Workers that may work on one task of this rule at the same time.",
    )
    pool = models.CharField(
        "worker pool",
        max_length=64,
        blank=True,
        validators=[name_validator],
        help_text="Whose workers execute it. Blank: the source's pool, else the target's.",
    )
    schedule = models.CharField(
        max_length=100, blank=True, help_text="A cron expression, for example 0 3 * * *. Blank: pushes and Sync only."
    )
    schedule_zone = models.CharField("time zone", max_length=64, default="UTC")
    next_run_at = models.DateTimeField(null=True, editable=False)
    delete_removed = models.BooleanField(
        "delete what is deleted in the source",
        default=False,
        help_text="Only what this rule brought and nobody changed since.",
    )
    removal_share = models.PositiveSmallIntegerField(
        "deletions at most",
        default=20,
        validators=[MaxValueValidator(100)],
        help_text="Percent of what the rule has brought, in one task; more waits for your yes on the task's page.",
    )
    webhook_url = SealedField(
        "webhook", max_length=500, blank=True, help_text="Told by a signed POST when a task ends. Blank: nobody is."
    )
    webhook_failures_only = models.BooleanField("only tasks with failures", default=False)
    encrypted_webhook_secret = models.TextField(blank=True, editable=False)
    # Of what was pushed within a day, in seconds; sync.services.lag computes them now and then.
    lag_median = models.FloatField(null=True, editable=False)
    lag_p95 = models.FloatField(null=True, editable=False)
    lag_worst = models.FloatField(null=True, editable=False)
    lag_counted_at = models.DateTimeField(null=True, editable=False)
    # On whose rights it stands: those of who saved it last, or the platform's own.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    by_platform = models.BooleanField(default=True, editable=False)
    suspension = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["next_run_at"], name="rule_next_run")]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "name"],
                name="rule_name_unique_per_source",
                violation_error_message="This instance has a rule of this name already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source.name}/{self.name}"

    def get_additional_data(self) -> dict[str, int]:
        """What audit entries keep besides."""
        return {"instance": self.source_id}

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """With the webhook's address, which a form that does not show it must not stumble over."""
        faults: dict[str, list[ValidationError]] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            faults = error.error_dict
        fault = webhook_fault(self.webhook_url) if "webhook_url" not in (exclude or ()) else ""
        if fault and "webhook_url" not in faults:
            faults["webhook_url"] = [ValidationError(fault)]
        if faults:
            raise ValidationError(faults)

    def clean(self) -> None:
        """What is wrong with the rule as a whole, each fault under the field where it can be mended."""
        faults = {
            "source_namespace": namespace_fault(self.source_namespace),
            "target_namespace": namespace_fault(self.target_namespace) if self.target_namespace else "",
            "images": "" if self.resources else "Choose at least one type of resource.",
        }
        for field, check in (("schedule", check_expression), ("schedule_zone", check_zone)):
            try:
                if self.schedule:
                    check(getattr(self, field))
            except InvalidSchedule as error:
                faults[field] = str(error)
        if self._copies_onto_itself():
            faults["target_namespace"] = (
                "Source and target are the same: choose another namespace, or another target instance."
            )
        found = {field: fault for field, fault in faults.items() if fault}
        if found:
            raise ValidationError(found)

    def _copies_onto_itself(self) -> bool:
        return self.source_id == self.target_id and self.resulting_namespace == self.source_namespace

    @property
    def webhook_place(self) -> str:
        """As much of the webhook's address as everybody may see."""
        if isinstance(self.webhook_url, Sealed):
            return str(self.webhook_url)
        return shown_place(self.webhook_url) if self.webhook_url else ""

    @property
    def webhook_secret(self) -> str:
        """Raises CredentialKeyMissing."""
        return decrypt(self.encrypted_webhook_secret)

    @webhook_secret.setter
    def webhook_secret(self, secret: str) -> None:
        self.encrypted_webhook_secret = encrypt(secret)

    @property
    def resources(self) -> list[str]:
        """The types that travel, by the words of rules as files: image, chart, other."""
        chosen = {"image": self.images, "chart": self.charts, "other": self.others}
        return [word for word, on in chosen.items() if on]

    @property
    def resulting_namespace(self) -> str:
        return self.target_namespace or self.source_namespace

    @property
    def acts(self) -> bool:
        """Whether pushes and schedules start it."""
        return self.enabled and not self.suspension

    def snapshot(self) -> dict[str, Any]:
        """The rule as it is now, for a task that keeps to it whatever is changed later."""
        kept = (
            "name source_namespace repositories exclude_repositories tags exclude_tags images charts others "
            "with_referrers target_namespace overwrite parallelism delete_removed removal_share"
        )
        return {field: getattr(self, field) for field in kept.split()}
