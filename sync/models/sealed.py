"""A text that is secret as a whole, as an address with a token in it: encrypted in the database, by CREDENTIAL_KEYS."""

from typing import Any

from django.db import models

from sync.credentials import CredentialKeyMissing, decrypt, encrypt

UNREADABLE = "(unreadable)"


class Sealed(str):
    """What none of the keys decrypts: it is stored again as it was, for the day when the key is back."""

    __slots__ = ("token",)
    token: str


class SealedField(models.CharField):  # type: ignore[type-arg]
    """max_length: of the text itself."""

    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        if not value:
            return value
        try:
            return decrypt(value)
        except CredentialKeyMissing:
            sealed = Sealed(UNREADABLE)
            sealed.token = value
            return sealed

    def get_prep_value(self, value: Any) -> Any:
        return value.token if isinstance(value, Sealed) else encrypt(str(super().get_prep_value(value) or ""))
