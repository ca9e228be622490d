"""What the forms of instances and rules share."""

from typing import Any, cast

from django import forms

from sync.services import fitting

NAME_ERRORS = {
    "required": "Enter a name.",
    "invalid": "Use lower-case letters, digits, “-”, “.” and “_”; the first character is a letter or a digit.",
}


def check_fit(form: "forms.ModelForm[Any]") -> None:
    """What the sides of a rule cannot hold, at the field where it can be mended; once all else of them is right."""
    if {"source", "source_namespace", "target", "images", "target_namespace"} & form.errors.keys():
        return
    if reason := fitting.type_fault(form.instance):
        form.add_error("images", reason)
    elif reason := fitting.target_fault(form.instance):
        form.add_error("target", reason)


def tell_range(form: "forms.ModelForm[Any]", name: str) -> None:
    """One message for every number that the model does not take."""
    low, high = (validator.limit_value for validator in cast(Any, form._meta.model._meta.get_field(name)).validators)
    said = f"Enter a whole number from {low} to {high}."
    field = form.fields[name]
    field.help_text = f"{field.help_text} {low} to {high}."
    field.widget.attrs.update(min=low, max=high)
    field.error_messages.update(dict.fromkeys(("required", "invalid", "min_value", "max_value"), said))
