"""The form of a rule. What a field may hold is checked by the model; here stands what only a form knows."""

from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from sync.cron import zone_names
from sync.forms.shared import NAME_ERRORS, check_fit, tell_range
from sync.forms.telling import TELLING, Telling
from sync.models import Instance, SyncRule
from sync.oci.reference import NAMESPACE_TOP
from sync.services import configure, grants
from sync.services.connect import Namespaces
from sync.services.grants import Right, instances_with
from sync.services.reading import told
from sync.services.schedules import Schedule

EXPRESSIONS = ("repositories", "exclude_repositories", "tags", "exclude_tags")
# What the preview of a rule does not depend on.
NOT_PREVIEWED = (
    *(
        "name",
        "description",
        "sync_now",
        "parallelism",
        "pool",
        "schedule",
        "schedule_zone",
        "delete_removed",
        "removal_share",
    ),
    *TELLING,
)


# What of a rule needs which right on its target.
FIELD_OF_RIGHT = {
    Right.RECEIVE: "target",
    Right.OVERWRITE: "overwrite",
    Right.DELETE: "delete_removed",
}


class InstanceChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Instances with their regions; the source is marked."""

    source: Instance

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} (the source itself)" if obj.pk == self.source.pk else str(obj)


class RuleForm(Telling):
    """A rule of a source instance that is given and cannot be changed here.

    user: who writes it, and may choose targets that receive from them. namespaces: what the source lists; where it
    lists nothing, one is typed, and where it was not asked, the page does so when it is there (`lists_later`).
    """

    _asked = True

    sync_now = forms.BooleanField(
        required=False,
        label="Also copy what is there now",
        help_text="Runs Sync once after saving.",
    )

    class Meta:
        model = SyncRule
        fields = (
            "name",
            "description",
            "source_namespace",
            "images",
            "charts",
            "others",
            *EXPRESSIONS,
            "target",
            "target_namespace",
            "overwrite",
            "with_referrers",
            "parallelism",
            "pool",
            "schedule",
            "schedule_zone",
            "delete_removed",
            "removal_share",
            "webhook_url",
            "webhook_failures_only",
        )
        help_texts = {
            "schedule": "A cron expression: minute, hour, day of the month, month, day of the week. "
            "Blank: only pushes and Sync start the rule.",
            "schedule_zone": "For example UTC, Europe/Berlin or Asia/Shanghai.",
            "delete_removed": "Off by default. Deletes in the target only what this rule brought there and nobody "
            "changed since; everything else stays.",
            "removal_share": "Of what the rule has brought, in one task. Beyond it a person is asked on the "
            "page of the task, and nothing is deleted before the answer. 0 to 100.",
            "webhook_url": "An https:// address that takes a POST with JSON. Blank: nobody is told.",
            "repositories": "Regular expression. Blank: all repositories of the namespace.",
            "exclude_repositories": "Regular expression. Blank: no repository is excluded.",
            "tags": "Regular expression. Blank: all tags.",
            "exclude_tags": "Regular expression. Blank: no tag is excluded.",
            "overwrite": "Recommended: off. Tags that exist in the target then keep their digest, so that released "
            "versions do not change. Applies to images and charts.",
            "target_namespace": "Blank: same name as the source namespace. Created if it does not exist.",
            "with_referrers": "Copied together with the image or chart that they describe.",
        }
        field_classes = {"target": InstanceChoice}
        error_messages = {"name": NAME_ERRORS, "target": {"required": "Choose the instance to copy to."}}
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}
        labels = {
            "repositories": "Repositories",
            "exclude_repositories": "Exclude repositories",
            "tags": "Tags",
            "exclude_tags": "Exclude tags",
            "target": "Target instance",
            "target_namespace": "Target namespace",
            "parallelism": "Workers at once",
            "removal_share": "Deletions without asking, at most (percent)",
            "webhook_url": "Address",
        }

    def __init__(self, *args: Any, user: User, namespaces: Namespaces, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        if self.instance.pk:
            del self.fields["sync_now"]
        tell_range(self, "parallelism")
        if not self.instance.pk:
            self.fields["name"].widget.attrs["autofocus"] = True
        # What the rule has already can be seen, if not saved: the message says what is lacking.
        self._offer_targets(instances_with(user, Right.RECEIVE) | Instance.objects.filter(pk=self.instance.target_id))
        self._offer_namespaces(namespaces)
        for name in (*EXPRESSIONS, "schedule"):
            self.fields[name].widget.attrs.update({"class": "code", "spellcheck": "false", "autocapitalize": "off"})
        self._mark_scheduled()
        self._offer_deletions()
        self.offer_telling()
        self._mark_previewed()

    def _offer_deletions(self) -> None:
        share = self.fields["removal_share"]
        share.required = False
        share.widget.attrs.update(min=0, max=100)
        said = "Enter a whole number from 0 to 100."
        share.error_messages.update(dict.fromkeys(("invalid", "min_value", "max_value"), said))

    def clean_removal_share(self) -> int:
        share: int | None = self.cleaned_data["removal_share"]
        return SyncRule().removal_share if share is None else share

    def _mark_scheduled(self) -> None:
        for name in ("schedule", "schedule_zone"):
            attributes = self.fields[name].widget.attrs
            attributes["class"] = f"{attributes.get('class', '')} scheduled".strip()
        self.fields["schedule_zone"].widget.attrs.update({"list": "zones", "autocomplete": "off"})
        self.fields["schedule_zone"].required = False

    def clean_schedule_zone(self) -> str:
        return self.cleaned_data["schedule_zone"] or "UTC"

    def _mark_previewed(self) -> None:
        """By these classes the preview knows what to listen to: while something is typed, or when it is chosen."""
        for name in self.fields.keys() - set(NOT_PREVIEWED):
            widget = self.fields[name].widget
            mark = "previewed-chosen" if isinstance(widget, forms.Select | forms.CheckboxInput) else "previewed-typed"
            widget.attrs["class"] = f"{widget.attrs.get('class', '')} {mark}".strip()

    def _offer_targets(self, targets: QuerySet[Instance]) -> None:
        target = cast(InstanceChoice, self.fields["target"])
        target.source = self.instance.source
        target.queryset = targets
        target.empty_label = "Choose an instance"
        if not targets.exists():
            target.help_text = (
                "You may not copy to any instance yet: ask the admin of one to give you the role Receive there."
            )

    def _offer_namespaces(self, namespaces: Namespaces) -> None:
        """A choice of what the source lists, and of what the rule has now; a text field where nothing is listed."""
        field = self.fields["source_namespace"]
        field.error_messages["required"] = "Choose one namespace."
        field.help_text = f"{told(namespaces.problem)} Enter the name of one namespace.".strip()
        self._asked = namespaces.asked
        if not namespaces.names:
            return
        present = self.instance.source_namespace
        names = sorted({*namespaces.names, present} - {""})
        self.fields["source_namespace"] = forms.ChoiceField(
            label=field.label,
            help_text=told(namespaces.problem),
            choices=[("", "Choose a namespace"), *((name, _shown(name)) for name in names)],
            error_messages={
                "required": "Choose one namespace.",
                "invalid_choice": "The source has no such namespace. Choose one from the list.",
            },
        )

    @property
    def lists_later(self) -> bool:
        """Not where it would exchange the field together with what is wrong with it."""
        return not (self._asked or self["source_namespace"].errors)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if "target" not in self.errors:
            self._check_rights()
        check_fit(self)

    def _check_rights(self) -> None:
        if reason := grants.pool_fault(self._user, self.instance):
            self.add_error("pool", reason)
        if reason := grants.region_fault(self.instance):
            self.add_error("target", reason)
        lacking = grants.missing(self._user, self.instance)
        if lacking and lacking.right in FIELD_OF_RIGHT:
            self.add_error(FIELD_OF_RIGHT[lacking.right], f"You lack {lacking}: ask who administers that, or leave it.")

    @property
    def takeover(self) -> str:
        """What saving changes besides the fields: on whose rights the rule stands. Blank when it stays."""
        taken_over = configure.takeover(self.instance, self._user)
        if taken_over is None:
            return ""
        loss = "are a platform administrator no more" if self._user.is_superuser else "lose one that it needs"
        return (
            f"This rule stands on {taken_over[0]}. Once you save it, it stands on your rights: "
            f"it is suspended when you {loss}."
        )

    @property
    def types(self) -> list[forms.BoundField]:
        return [self["images"], self["charts"], self["others"]]

    @property
    def is_scheduled(self) -> bool:
        """Whether there is a schedule, or what was to be one."""
        return bool(self["schedule"].value()) or any(self[name].errors for name in ("schedule", "schedule_zone"))

    zones = zone_names()

    @property
    def schedule(self) -> Schedule:
        return Schedule(self["schedule"].value() or "", self["schedule_zone"].value() or "")

    @property
    def has_wrong_expression(self) -> bool:
        return any(self[name].errors for name in EXPRESSIONS)

    def clean_name(self) -> str:
        """Unique within the source, which is no field of the form."""
        name: str = self.cleaned_data["name"]
        others = SyncRule.objects.filter(source=self.instance.source).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise ValidationError("This instance has a rule of this name already.")
        return name


def _shown(namespace: str) -> str:
    return "top level" if namespace == NAMESPACE_TOP else namespace
