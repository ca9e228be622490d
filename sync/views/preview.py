"""What a rule would do, told beside the form in which it is written. Nothing of the form is saved."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from sync import access
from sync.forms import EXPRESSIONS, RuleForm
from sync.models import SyncRule
from sync.oci.reference import NAMESPACE_TOP
from sync.replication.reading import reading
from sync.services import connect, glance
from sync.views.http import Request, page_or_fragment, wants_fragment

asked = require_http_methods(["GET", "HEAD", "POST"])
# What must be right before anything can be said.
NEEDED = ("source_namespace", "images", *EXPRESSIONS, "target_namespace")


@asked
@page_or_fragment
def preview_new(request: Request, instance: str) -> HttpResponse:
    """There is nothing to look at without what was typed: the address alone leads to the form."""
    if request.method != "POST":
        return redirect("rule-new", instance)
    source = access.get_instance_or_404(request.user, instance, access.Right.MANAGE_RULES)
    return _preview(request, SyncRule(source=source), "Create Instance Synchronization Rule")


@asked
@page_or_fragment
def preview_edit(request: Request, instance: str, name: str) -> HttpResponse:
    if request.method != "POST":
        return redirect("rule-edit", instance, name)
    rule = access.get_rule_or_404(request.user, instance, name, access.Right.MANAGE_RULES)
    return _preview(request, rule, f"Configuration of {name}")


def _preview(request: Request, rule: SyncRule, title: str) -> HttpResponse:
    source, editing, fragment = rule.source, rule.name, wants_fragment(request)
    # Asking the source for a list of namespaces would take its time from the preview; the fragment shows none.
    namespaces = connect.NOT_ASKED if fragment else connect.remembered_namespaces(source)
    form = RuleForm(request.POST, instance=rule, user=request.user, namespaces=namespaces)
    has_target = "target" not in form.errors
    # What is only missing for saving is no fault yet.
    chosen = bool(form["source_namespace"].value())
    needed = [*(NEEDED if chosen else NEEDED[1:]), *(["target"] if form["target"].value() else [])]
    for field in form.errors.keys() - set(needed):
        del form.errors[field]
    faults = [form[field] for field in needed if form[field].errors]
    context = {"form": form, "faults": faults, "instance": source, "title": title, "editing": editing}
    if chosen and not faults:
        others = SyncRule.objects.filter(source__in=access.visible_instances(request.user))
        asker = f"{request.session.session_key} {request.path}"
        context |= _look(form, others, asker, has_target=has_target, refresh="refresh" in request.POST)
    return render(request, "rules/_preview_answer.html" if fragment else "rules/form.html", context)


def _look(form: RuleForm, others: QuerySet[SyncRule], asker: str, *, has_target: bool, refresh: bool) -> dict[str, Any]:
    rule = form.instance
    return {
        "glance": glance.look(rule, has_target=has_target, refresh=refresh, others=others, asker=asker),
        "has_target": has_target,
        "namespace": rule.source_namespace,
        "hint": _hint(rule),
        "readings": [(form[name].label, words) for name in EXPRESSIONS if (words := _reading(rule, name))],
    }


def _hint(rule: SyncRule) -> str:
    """For when nothing matches: whoever writes the namespace into the expression waits for it twice."""
    front = f"{rule.source_namespace}/"
    written = rule.repositories.lstrip("^(").replace("\\", "")
    if rule.source_namespace in ("", NAMESPACE_TOP) or not written.startswith(front):
        return ""
    return f"“Repositories” is matched against the name after {front}, so leave {front} out of the expression."


def _reading(rule: SyncRule, name: str) -> str:
    return reading(getattr(rule, name), "tag" if name.endswith("tags") else "repository")
