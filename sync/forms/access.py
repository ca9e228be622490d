"""Who gets a role on an instance, and which regions rules may join."""

from typing import Any, cast

from django import forms
from django.contrib.auth.models import Group, User

from sync.models import Instance, RegionPair
from sync.services.grants import ROLES, Right

KINDS: dict[str, type[User] | type[Group]] = {"user": User, "group": Group}


class AccessForm(forms.Form):
    who = forms.ChoiceField(label="Person or group", error_messages={"required": "Choose a person or a group."})
    role = forms.ChoiceField(
        choices=[(right.value, f"{role}: {lets}") for right, (role, lets) in ROLES.items()],
        error_messages={"required": "Choose a role."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(is_active=True, is_superuser=False).order_by("username")
        cast(forms.ChoiceField, self.fields["who"]).choices = [
            ("", "Choose a person or a group"),
            ("People", [(f"user:{user.pk}", str(user)) for user in people]),
            ("Groups", [(f"group:{group.pk}", group.name) for group in Group.objects.order_by("name")]),
        ]

    @property
    def somebody(self) -> User | Group:
        kind, _, key = self.cleaned_data["who"].partition(":")
        return KINDS[kind].objects.get(pk=key)

    @property
    def right(self) -> Right:
        return Right(self.cleaned_data["role"])


class RegionPairForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = RegionPair
        fields = ("source", "target")
        labels = {"source": "From region", "target": "To region"}
        error_messages = {"__all__": {"unique_together": "This pair is allowed already."}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        regions = Instance.objects.order_by("region").values_list("region", flat=True).distinct()
        choices = [("", "Choose a region"), *((region, region) for region in regions)]
        for name in self.fields:
            said = {"required": "Choose a region."}
            self.fields[name] = forms.ChoiceField(label=self.fields[name].label, choices=choices, error_messages=said)
