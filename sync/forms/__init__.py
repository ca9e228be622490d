"""Forms of instances and rules. What a field may hold is checked by the models; here stands what only a form knows."""

import copy
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from sync.cron import zone_names
from sync.forms.fields import MegabytesField
from sync.forms.managing import MANAGING, Managing
from sync.forms.telling import TELLING, Telling
from sync.models import Instance, SyncRule
from sync.oci.reference import NAMESPACE_TOP
from sync.services.connect import Namespaces
from sync.services.kinds import About, about_kinds
from sync.services.schedules import Schedule

NAME_ERRORS = {
    "required": "Enter a name.",
    "invalid": "Use lower-case letters, digits, “-”, “.” and “_”; the first character is a letter or a digit.",
}
# Whoever changes one of these decides who can read the password.
ROUTE = ("url", "proxy", "ca_certificate", "allow_plain_http")
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
LIMITS = ("connect_timeout", "read_timeout", "max_connections")


def _tell_range(form: "forms.ModelForm[Any]", name: str) -> None:
    """One message for every number that the model does not take."""
    low, high = (validator.limit_value for validator in cast(Any, form._meta.model._meta.get_field(name)).validators)
    said = f"Enter a whole number from {low} to {high}."
    field = form.fields[name]
    field.help_text = f"{field.help_text} {low} to {high}."
    field.widget.attrs.update(min=low, max=high)
    field.error_messages.update(dict.fromkeys(("required", "invalid", "min_value", "max_value"), said))


class InstanceForm(Managing):
    """The stored password is never shown: a blank field leaves it as it is."""

    password = forms.CharField(
        required=False,
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "hx-preserve": "true"}),
    )
    remove_password = forms.BooleanField(required=False, label="Remove the stored password")
    max_bytes_per_second = MegabytesField(
        required=False,
        label="Megabytes per second at most",
        help_text="Both directions, over all workers together. Blank: no limit.",
        min_value=Decimal(0),
        max_value=Decimal(1_000_000),
        decimal_places=6,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value", "max_decimal_places"),
            "Enter megabytes from 0.1 to 1000000 with at most six decimals, or leave it blank.",
        ),
    )

    class Meta:
        model = Instance
        fields = (
            "kind",
            "name",
            "region",
            "url",
            "username",
            *MANAGING,
            "ca_certificate",
            "proxy",
            "allow_plain_http",
            "connect_timeout",
            "read_timeout",
            "max_connections",
            "max_bytes_per_second",
            "poll_minutes",
            "pool",
        )
        error_messages = {
            "name": NAME_ERRORS | {"unique": "There is an instance of this name already."},
            "region": {"required": "Enter the region."},
            "url": {"required": "Enter the address."},
        }
        help_texts = {
            "region": "Where the registry is, for example ap-guangzhou or Frankfurt.",
            "max_connections": "Over all workers together. 0: no limit.",
        }
        labels = {
            "username": "User name",
            "poll_minutes": "Look for news every … minutes",
            "api_region": "Region of TCR",
        }
        widgets = {"ca_certificate": forms.Textarea(attrs={"rows": 5, "class": "code", "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored_route = self._route()
        if self.has_stored_password:
            self.fields["password"].help_text = "A password is stored. Leave blank to keep it."
        else:
            del self.fields["remove_password"]
        for name in LIMITS:
            _tell_range(self, name)
        self._offer_polling()
        self.offer_managing()

    def _offer_polling(self) -> None:
        field = self.fields["poll_minutes"]
        field.required = False
        field.help_text = "For registries that cannot notify. Blank or 0: never. At most 1440, once a day."
        field.widget.attrs.update(min=0, max=1440)
        said = "Enter a whole number from 0 to 1440, or leave it blank."
        field.error_messages.update(dict.fromkeys(("invalid", "min_value", "max_value"), said))

    @property
    def kinds(self) -> list[About]:
        """What to know of each kind; the page shows that of the chosen one."""
        return about_kinds()

    def clean_poll_minutes(self) -> int:
        return self.cleaned_data["poll_minutes"] or 0

    @property
    def has_stored_password(self) -> bool:
        return bool(self.instance.encrypted_password)

    @property
    def connection_fields(self) -> list[forms.BoundField]:
        """What most registries need no change of."""
        names = "allow_plain_http ca_certificate proxy connect_timeout read_timeout"
        names += " max_connections max_bytes_per_second pool"
        return [self[name] for name in names.split()]

    @property
    def connection_changed(self) -> bool:
        """The part of the form that is folded at first has something to show, or to be mended there."""
        usual = Instance()
        # What is wrong with plain HTTP stands at the address, and that another way was chosen, at the password.
        plain = self["url"].errors and str(self["url"].value()).startswith("http://")
        other_way = self["password"].errors and set(ROUTE[1:]) & set(self.changed_data)
        return bool(plain or other_way) or any(
            field.errors or str(field.value() or "") != str(getattr(usual, field.name) or "")
            for field in self.connection_fields
        )

    @property
    def new_password(self) -> str | None:
        """None: as it is; blank: remove it."""
        if self.cleaned_data.get("remove_password"):
            return ""
        return self.cleaned_data.get("password") or None

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        keeps_stored = self.has_stored_password and self.new_password is None
        if keeps_stored:
            self._guard_stored_password()
        if (keeps_stored or self.new_password) and self.cleaned_data.get("username") == "":
            self.add_error("username", "A password is used only with a user name: enter one, or remove the password.")

    def _guard_stored_password(self) -> None:
        """Else whoever may edit the instance could have the stored password sent to a machine of theirs."""
        route = self._route()
        if changed := [str(self.fields[name].label) for name in ROUTE if route[name] != self._stored_route[name]]:
            self.add_error(
                "password",
                f"Changed: {', '.join(changed)}. This decides who can read the password: "
                "enter it again, or remove the stored one.",
            )

    def _route(self) -> dict[str, str]:
        """White space is not compared: browsers send other line ends than what may be stored."""
        return {name: " ".join(str(getattr(self.instance, name)).split()) for name in ROUTE}

    def candidate(self) -> Instance:
        """The instance as the form describes it, to try the connection with: not the stored one, even if it equals."""
        instance: Instance = copy.copy(self.instance)
        instance.pk = None
        if self.new_password is not None:
            instance.password = self.new_password
        if self.new_api_key is not None:
            instance.api_key = self.new_api_key
        return instance


class InstanceChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Instances with their regions; the source is marked."""

    source: Instance

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} (the source itself)" if obj.pk == self.source.pk else str(obj)


class RuleForm(Telling):
    """A rule of a source instance that is given and cannot be changed here.

    targets: the instances that may be chosen. namespaces: what the source lists; where it lists nothing, one is typed,
    and where it was not asked, the page does so when it is there (`lists_later`).
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

    def __init__(self, *args: Any, targets: QuerySet[Instance], namespaces: Namespaces, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["sync_now"]
        _tell_range(self, "parallelism")
        self._offer_targets(targets)
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

    def _offer_namespaces(self, namespaces: Namespaces) -> None:
        """A choice of what the source lists, and of what the rule has now; a text field where nothing is listed."""
        field = self.fields["source_namespace"]
        field.error_messages["required"] = "Choose one namespace."
        field.help_text = f"{namespaces.problem} Enter the name of one namespace.".strip()
        self._asked = namespaces.asked
        if not namespaces.names:
            return
        present = self.instance.source_namespace
        names = sorted({*namespaces.names, present} - {""})
        self.fields["source_namespace"] = forms.ChoiceField(
            label=field.label,
            help_text=namespaces.problem,
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
