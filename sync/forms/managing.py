"""The part of an instance's form that only kinds with a management API of their own have (TCR)."""

from typing import Any

from django import forms

from sync.models import Instance

MANAGING = ("api_key_id", "api_region", "registry_id", "api_address")
# What must be there together.
NEEDED = ("api_key_id", "api_region", "registry_id")


class Managing(forms.ModelForm):  # type: ignore[type-arg]
    """The stored key is never shown: a blank field leaves it as it is. Fields of another kind are emptied."""

    api_key = forms.CharField(
        required=False,
        strip=False,
        max_length=4096,
        label="SecretKey",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "hx-preserve": "true"}),
    )

    def offer_managing(self) -> None:
        """To be called once the fields are there."""
        if self.has_stored_key:
            self.fields["api_key"].help_text = "A key is stored. Leave blank to keep it."
        self.fields[
            "api_key_id"
        ].help_text = (
            "Of a sub-account. Without it a namespace must exist in the target, and a quick check asks for each tag."
        )

    @property
    def has_stored_key(self) -> bool:
        return bool(self.instance.encrypted_api_key)

    @property
    def is_managed(self) -> bool:
        return self.cleaned_data.get("kind") == Instance.Kind.TCR

    @property
    def new_api_key(self) -> str | None:
        """None: as it is; blank: remove it, as there is nothing left that it belongs to."""
        if not self.is_managed or not self.cleaned_data.get("api_key_id"):
            return ""
        return self.cleaned_data.get("api_key") or None

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        values = self.cleaned_data if cleaned is None else cleaned
        if not self.is_managed:
            values.update(dict.fromkeys(MANAGING, ""))
        elif any(values.get(name) for name in (*NEEDED, "api_key", "api_address")):
            self._want_all(values)
        return values

    def _want_all(self, values: dict[str, Any]) -> None:
        for name in NEEDED:
            if not values.get(name) and name not in self.errors:
                self.add_error(name, "Needed beside the others, to speak to TCR's management API.")
        same_place = not {"api_key_id", "api_address", "proxy"} & set(self.changed_data)
        if not values.get("api_key") and not (self.has_stored_key and same_place):
            stored = "Changed who or what gets it: enter it again." if self.has_stored_key else ""
            self.add_error("api_key", stored or "Enter the SecretKey that belongs to the SecretId.")

    @property
    def managing_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("api_key_id", "api_key", "api_region", "registry_id", "api_address")]
