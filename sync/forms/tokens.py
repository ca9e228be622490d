"""A token for pipelines, as its maker asks for it."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils import timezone

from sync.forms.shared import NAME_ERRORS
from sync.models import ApiToken, Instance
from sync.models.instance import name_validator

DAYS = {7: "A week", 30: "30 days", 90: "90 days", 180: "180 days", 365: "A year"}
USUAL_DAYS = 90


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    days = forms.TypedChoiceField(
        label="Expires in",
        coerce=int,
        choices=list(DAYS.items()),
        initial=USUAL_DAYS,
        error_messages={"required": "Choose how long it is to last."},
    )

    class Meta:
        model = ApiToken
        fields = ("name", "role")
        help_texts = {
            "name": "Tasks that it starts say “token” and this name.",
            "role": "Viewer reads tasks and where images are; Operator starts rules, too.",
        }
        error_messages = {"name": NAME_ERRORS, "role": {"required": "Choose a role."}}

    def __init__(self, data: QueryDict | None, instance: Instance, maker: User) -> None:
        super().__init__(data, instance=ApiToken(instance=instance, maker=maker))
        self.fields["role"] = forms.ChoiceField(
            choices=ApiToken.Role.choices, initial=ApiToken.Role.OPERATE, help_text=self.Meta.help_texts["role"]
        )
        self.fields["name"].validators.append(name_validator)
        self.fields["name"].widget.attrs.update(autocomplete="off", spellcheck="false")

    def clean_name(self) -> str:
        """What was revoked leaves its name to another."""
        name: str = self.cleaned_data["name"]
        if ApiToken.objects.filter(instance=self.instance.instance, name=name, revoked_at=None).exists():
            raise forms.ValidationError("There is a token of this name already: revoke it, or take another name.")
        return name

    def clean(self) -> dict[str, Any]:
        if days := self.cleaned_data.get("days"):
            self.instance.expires_at = timezone.now() + timedelta(days=days)
        return self.cleaned_data
