"""The part of a rule's form that says who is told when a task ends. The stored secret is never shown."""

from typing import Any

from django import forms

TELLING = ("webhook_url", "webhook_secret", "webhook_failures_only")


class Telling(forms.ModelForm):  # type: ignore[type-arg]
    webhook_secret = forms.CharField(
        required=False,
        strip=False,
        min_length=16,
        max_length=4096,
        label="Secret",
        help_text="At least 16 characters. Each message is signed with it, so that the receiver knows who sends.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "hx-preserve": "true"}),
    )

    def offer_telling(self) -> None:
        self.fields["webhook_url"].widget.attrs.update({"inputmode": "url", "spellcheck": "false"})
        if self.instance.encrypted_webhook_secret:
            secret = self.fields["webhook_secret"]
            secret.help_text = "A secret is stored. Leave blank to keep it; without an address it is forgotten."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        has_secret = cleaned.get("webhook_secret") or self.instance.encrypted_webhook_secret
        if cleaned.get("webhook_url") and not has_secret and "webhook_secret" not in self.errors:
            self.add_error("webhook_secret", "Enter a secret: without it nobody could tell who sends.")
        return cleaned

    def save(self, commit: bool = True) -> Any:
        if not self.cleaned_data["webhook_url"]:
            self.instance.webhook_secret = ""
        elif self.cleaned_data["webhook_secret"]:
            self.instance.webhook_secret = self.cleaned_data["webhook_secret"]
        return super().save(commit)

    @property
    def tells(self) -> bool:
        """Whether there is a webhook, or what was to be one."""
        return bool(self["webhook_url"].value()) or any(self[name].errors for name in TELLING)
