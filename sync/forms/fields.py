"""Fields of forms that Django has none of."""

from decimal import Decimal
from typing import Any

from django import forms

from sync.models.instance import LEAST_BYTES_PER_SECOND

MEGABYTE = 1_000_000


class MegabytesField(forms.DecimalField):
    """Bytes, entered and shown in megabytes; blank stands for 0, which means no limit."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value  # as it was typed
        return f"{(Decimal(value) / MEGABYTE).normalize():f}" if value else ""

    def clean(self, value: Any) -> int:
        size = int((super().clean(value) or 0) * MEGABYTE)
        if 0 < size < LEAST_BYTES_PER_SECOND:
            raise forms.ValidationError(self.error_messages["min_value"])
        return size

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)
