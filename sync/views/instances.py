"""Pages of instances: list, register, edit, test the connection, delete."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import retarget

from sync import access
from sync.access import Right
from sync.forms import InstanceForm
from sync.models import Instance, SyncRule
from sync.services import configure, connect, grants, pulls, trial
from sync.views import notified
from sync.views.http import Request, form_page, page_or_fragment, save_valid, saved, wants_fragment
from sync.views.layout import Layout

PAGE, PART = "instances/form.html", "instances/_form.html"
RULES_SHOWN, RULES_COUNTED = 20, 5000


@require_safe
def home(request: Request) -> HttpResponse:
    """The rules of the instance chosen last; with none, how to register the first."""
    current = Layout.of(request).current
    if current:
        return redirect("rules", instance=current.name)
    return render(request, "instances/first.html", {"may_register": access.is_platform_administrator(request.user)})


@require_safe
def instance_list(request: Request) -> HttpResponse:
    if not Layout.of(request).instances:
        return redirect("home")
    seen = access.visible_instances(request.user)
    theirs, others = SyncRule.objects.filter(source__in=seen), SyncRule.objects.exclude(source__in=seen)
    instances = seen.annotate(
        rules_from=_count_of_rules("source", theirs),
        rules_to=_count_of_rules("target", theirs),
        rules_unseen=_count_of_rules("target", others),
    )
    return render(
        request,
        "instances/list.html",
        {"instances": instances, "may_register": access.is_platform_administrator(request.user)},
    )


def _count_of_rules(side: str, among: QuerySet[SyncRule]) -> Coalesce:
    rules = among.filter(**{side: OuterRef("pk")}).order_by()
    return Coalesce(Subquery(rules.values(side).annotate(count=Count("pk")).values("count")), 0)


@require_safe
def instance_page(request: Request, instance: str) -> HttpResponse:
    return show(request, access.get_instance_or_404(request.user, instance))


@require_safe
@page_or_fragment
def instance_namespaces(request: Request, instance: str) -> HttpResponse:
    """What the registry lists, asked for when the page is there already."""
    found = access.get_instance_or_404(request.user, instance)
    namespaces = connect.namespaces(found, refresh="refresh" in request.GET)
    if wants_fragment(request):
        return render(request, "instances/_namespaces.html", {"instance": found, "namespaces": namespaces})
    return show(request, found, namespaces=namespaces)


@require_POST
@page_or_fragment
def instance_check(request: Request, instance: str) -> HttpResponse:
    """Tests the connection of the instance as it is saved."""
    found = access.get_instance_or_404(request.user, instance, Right.OPERATE)
    findings = trial.test_connection(found)
    found.refresh_from_db()
    if wants_fragment(request):
        context = {"instance": found, "findings": findings, "announce": _told_aloud(found, findings)}
        return render(request, "instances/_health.html", context)
    return show(request, found, findings=findings)


def _told_aloud(instance: Instance, findings: list[trial.Finding]) -> str:
    faults = [fault.detail or fault.what for fault in findings if fault.ok is False]
    if not faults:
        return f"The connection to {instance.name} works."
    return f"The connection to {instance.name} has a problem: {' '.join(faults)}"


def show(request: Request, instance: Instance, secret: str = "", **answers: Any) -> HttpResponse:
    """The page of an instance; `secret` is that of its notifications, just made."""
    rules = {}
    # A rule belongs to its source: who sees that sees the rule, wherever it leads.
    theirs = SyncRule.objects.filter(source__in=access.visible_instances(request.user))
    for side in ("source", "target"):
        found = theirs.filter(**{side: instance})
        listed = list(found.select_related("source", "target").order_by("name", "pk")[: RULES_SHOWN + 1])
        rules[side] = {"rules": listed[:RULES_SHOWN], "more": len(listed) > RULES_SHOWN}
    rules["target"]["unseen"] = _unseen(request, instance)
    told = notified.of(request, instance, secret)
    context = {"instance": instance, "rules": rules, "notified": told, "pulls": pulls.told(instance)}
    context |= {"my_roles": grants.roles_on(request.user, instance), **answers}
    return render(request, "instances/instance.html", context)


def _unseen(request: Request, instance: Instance) -> int | None:
    """How many rules copy to the instance from others that the reader does not see; None for who is not told that."""
    if Right.ADMINISTER not in access.rights_on(request.user, instance):
        return None
    seen = access.visible_instances(request.user).values("pk")
    return SyncRule.objects.filter(target=instance).exclude(source__in=seen)[:RULES_COUNTED].count()


@page_or_fragment
def instance_new(request: Request) -> HttpResponse:
    access.require_platform_administrator(request.user)
    return _save_or_ask(request, InstanceForm(request.POST or None, user=request.user), "")


@page_or_fragment
def instance_edit(request: Request, name: str) -> HttpResponse:
    instance = access.get_instance_or_404(request.user, name, Right.ADMINISTER)
    return _save_or_ask(request, InstanceForm(request.POST or None, instance=instance, user=request.user), name)


def _save_or_ask(request: Request, form: InstanceForm, editing: str) -> HttpResponse:
    answer = save_valid(form, partial(_save, request, form))
    return answer or form_page(
        request, PAGE, PART, form, {"editing": editing, "tested": request.POST.get("tested", "")}
    )


def _save(request: Request, form: InstanceForm) -> HttpResponse:
    instance = form.save(commit=False)
    configure.save_instance(instance, form.new_password, form.new_api_key)
    trial.note_tested(instance, request.POST.get("tested", ""))
    answer = saved(request, reverse("instances"), f"Instance {instance} is saved.")
    if others := configure.same_address(instance):
        names = ", ".join(str(other) for other in others)
        messages.warning(
            request,
            f"{instance.name} has the same address as {names}. If that was not intended, correct the address of one.",
        )
    return answer


@require_POST
@page_or_fragment
def instance_test(request: Request) -> HttpResponse:
    """What was tried with the values of the form and found. Nothing of the form is saved."""
    editing = request.POST.get("editing", "")
    stored = access.get_instance_or_404(request.user, editing, Right.ADMINISTER) if editing else None
    if stored is None:
        access.require_platform_administrator(request.user)
    form = InstanceForm(request.POST, instance=stored, user=request.user)
    if not form.is_valid():
        context = {"editing": editing, "headline": "The connection was not tested. Correct the marked fields first:"}
        return retarget(form_page(request, PAGE, PART, form, context), "#instance-form")
    findings = trial.test_connection(form.candidate())
    if stored:
        stored.refresh_from_db()
        trial.note_tested(stored, findings.signed)
    template = "instances/_findings.html" if wants_fragment(request) else PAGE
    return render(request, template, {"form": form, "editing": editing, "findings": findings})


def instance_delete(request: Request, name: str) -> HttpResponse:
    """GET asks, POST deletes; both refuse with the names of the rules while any uses the instance."""
    instance = access.get_instance_or_404(request.user, name, Right.ADMINISTER)
    if request.method != "POST":
        return _ask_to_delete(request, instance, configure.users_of(instance))
    try:
        configure.delete_instance(instance)
    except configure.InUse as refusal:
        return _ask_to_delete(request, instance, refusal.rules, status=422)
    return saved(request, reverse("instances"), f"Instance {name} is deleted.")


def _ask_to_delete(request: Request, instance: Instance, users: Sequence[SyncRule], status: int = 200) -> HttpResponse:
    template = "instances/_delete.html" if wants_fragment(request) else "instances/delete.html"
    visible = set(access.visible_instances(request.user).values_list("pk", flat=True))
    seen = [rule for rule in users if rule.source_id in visible]
    context = {"instance": instance, "users": users, "seen": seen}
    return render(request, template, context, status=status)
