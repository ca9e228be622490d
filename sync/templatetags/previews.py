"""How the form of a rule writes expressions and what would become of a tag."""

from django import template
from django.forms import BoundField
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.forms import EXPRESSIONS
from sync.oci.reference import in_namespace
from sync.replication.pattern import InvalidExpression, compile_expression
from sync.replication.plan import Action
from sync.services.preview import FAILED, Planned

register = template.Library()
# Colours of marks; the word says the same. Without one it is that of a warning.
TONES = {
    Action.COPY: "plain",
    Action.UNCHANGED: "ok",
    Action.LEFT_OUT: "plain",
    Action.VANISHED: "plain",
    FAILED: "fail",
    "": "plain",
}


@register.filter
def thousands(number: int) -> str:
    return f"{number:,}"


@register.filter
def broken(field: BoundField) -> SafeString | str:
    """The expression that was typed, with the fragment marked that breaks it; blank where there is none."""
    expression = str(field.value() or "").strip()
    if field.name not in EXPRESSIONS:
        return ""
    try:
        compile_expression(expression)
    except InvalidExpression as error:
        if error.end:
            before, fragment, after = (
                expression[: error.start],
                expression[error.start : error.end],
                expression[error.end :],
            )
            return format_html('<span class="broken code">{}<mark>{}</mark>{}</span>', before, fragment, after)
    return ""


@register.filter
def matched(planned: Planned, namespace: str) -> SafeString:
    """repository:tag, with weight on what the expressions are matched against: all but the namespace."""
    rest = in_namespace(planned.repository, namespace) or ""
    before = planned.repository.removesuffix(rest)
    return format_html("{}<strong>{}</strong>:<strong>{}</strong>", before, rest, planned.tag)


@register.filter
def fate(planned: Planned) -> SafeString:
    """What becomes of it, as a mark."""
    words = planned.words or "not compared yet"
    return format_html('<span class="mark {}">{}</span>', TONES.get(planned.action, ""), words)
