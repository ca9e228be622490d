"""The form of an instance."""

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.html import format_html_join

from sync.forms.fields import MegabytesField
from sync.forms.managing import MANAGING, Managing
from sync.forms.shared import NAME_ERRORS, tell_range
from sync.models import Instance
from sync.oci.addresses import Policy
from sync.services.grants import allowed_pairs, is_platform_administrator, pool_fault
from sync.services.kinds import About, about_kinds, usual_address

# Whoever changes one of these decides who can read the password.
ROUTE = ("url", "proxy", "ca_certificate", "allow_plain_http")
LIMITS = ("connect_timeout", "read_timeout", "max_connections")


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
            "password_expires_on",
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
            "password_expires_on": "Password ends on",
            "poll_minutes": "Look for news every … minutes",
            "api_region": "Region of TCR",
        }
        widgets = {
            "password_expires_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "ca_certificate": forms.Textarea(attrs={"rows": 5, "class": "code", "spellcheck": "false"}),
        }

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(_with_usual_address(data), *args, **kwargs)
        self._stored_route = self._route()
        self._user = user
        if self.has_stored_password:
            self.fields["password"].help_text = "A password is stored. Leave blank to keep it."
        else:
            del self.fields["remove_password"]
        for name in LIMITS:
            tell_range(self, name)
        helps = ((about.kind, about.help) for about in about_kinds())
        self.fields["url"].help_text = format_html_join("", '<span data-kind="{}">{}</span>', helps)
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

    def clean_region(self) -> str:
        """Where data may go is decided by platform administrators: nobody else moves an instance past that."""
        region: str = self.cleaned_data["region"]
        if "region" in self.changed_data and allowed_pairs() and not is_platform_administrator(self._user):
            raise forms.ValidationError(
                "Pairs of regions decide what may be copied here: a platform administrator has to change the region."
            )
        return region

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
        self._guard_address()
        self._guard_expiry()
        if reason := pool_fault(self._user, self.instance):
            self.add_error("pool", reason)
        keeps_stored = self.has_stored_password and self.new_password is None
        if keeps_stored:
            self._guard_stored_password()
        if (keeps_stored or self.new_password) and self.cleaned_data.get("username") == "":
            self.add_error("username", "A password is used only with a user name: enter one, or remove the password.")

    def _guard_address(self) -> None:
        """Whoever administers one instance may not make the console look around in networks of its own.

        Told here by where the names lead now; when connections are opened, by where they lead then.
        """
        if is_platform_administrator(self._user):
            self.instance.private_addresses = True
            return
        changed = [name for name in ("url", "proxy", "api_address") if name in self.changed_data]
        if not changed:
            return
        self.instance.private_addresses = False
        policy = Policy(private=settings.INSTANCE_PRIVATE_ADDRESSES)
        for name in changed:
            address = getattr(self.instance, name)
            host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
            if host and (why := policy.refusal_of_host(host)):
                self.add_error(name, f"This address {why}: a platform administrator has to enter it.")

    def _guard_expiry(self) -> None:
        """A date that was of the password before would warn of the new one, or keep silent about it."""
        if self.new_password and self.cleaned_data.get("password_expires_on") and not self._expiry_changed:
            said = "This was the last day of the password before: enter that of the new one, or leave it blank."
            self.add_error("password_expires_on", said)

    @property
    def _expiry_changed(self) -> bool:
        return "password_expires_on" in self.changed_data

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


def _with_usual_address(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Of a kind that has one address for everybody, that is taken where none is given."""
    usual = usual_address(data.get("kind", "")) if data else ""
    if data is None or not usual or data.get("url", "").strip():
        return data
    filled = data.copy() if isinstance(data, QueryDict) else dict(data)
    filled["url"] = usual
    return filled
