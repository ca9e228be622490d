"""Pages of rules: the list of the current instance, create, configure, switch, Sync, delete, Triggering Logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from sync import access
from sync.access import Right
from sync.forms import RuleForm
from sync.models import OPEN, Announcement, Instance, SyncRule, SyncTask
from sync.services import circles, configure, connect, grants, lag, removals, runs, trigger, waiting
from sync.services.schedules import Schedule
from sync.templatetags.console import ago
from sync.views import notified
from sync.views import told as telling
from sync.views.filters import RuleFilter, TaskFilter
from sync.views.http import (
    Request,
    acted,
    form_page,
    is_for,
    live_page,
    number,
    page_or_fragment,
    poll_seconds_of_list,
    save_valid,
    saved,
    task_link,
    wants_fragment,
)
from sync.views.layout import enter_instance, enter_with
from sync.views.paging import Page, count_up_to, page_of, told
from sync.views.rest import is_known, pulse_of
from sync.views.sorting import Sorting

MISSED_ROWS = 100


@dataclass(frozen=True)
class RuleRow:
    """waiting: when the oldest push was told that has not arrived. asks: the task of it that asks about deletions.

    why: the reason of a task that ended badly.
    """

    rule: SyncRule
    task: SyncTask | None
    waiting: datetime | None
    asks: int | None
    why: str


@require_safe
@page_or_fragment
def rule_list(request: Request, instance: str) -> HttpResponse:
    """The rules whose source is the current instance."""
    source = enter_instance(request, instance)
    narrowed = RuleFilter(request.GET, partial(_targets_of, source))
    rules = narrowed.of(SyncRule.objects.filter(source=source).select_related("source", "target"))
    sorting = Sorting.of(request.GET)
    ordered = sorting.of_rules(runs.with_newest(rules))
    page = page_of(request, ordered, descending=sorting.descending, **sorting.keys)
    count = told(count_up_to(rules, page), "rule", "rules")
    pulse = _pulse_of_rules(request, page, f"{count} {source.credential_warning}")
    if is_known(request, pulse):
        return HttpResponse(status=204)
    tasks = runs.newest_tasks(page.rows)
    context = {"instance": source, "rows": _rows(page.rows, tasks), "page": page, "filter": narrowed, "count": count}
    answer = live_page(
        request,
        "rules/list.html",
        {**context, "sorting": sorting, "heads": sorting.heads},
        part="rules/_table.html",
        live_id="rules",
        seconds=poll_seconds_of_list(tasks.values()),
        announce=f"{count}{sorting.words}",
        pulse=pulse,
    )
    if is_for(request, "rule-list"):
        # The switcher stands outside of what is exchanged, and leads to lists that are narrowed as this one now is.
        answer.write(render_to_string("parts/_choices.html", {"anew": True}, request))
    return answer


def _targets_of(source: Instance) -> QuerySet[Instance]:
    """Where its rules lead, whatever else the reader sees of that: the list names it."""
    return Instance.objects.filter(rules_to_here__source=source).distinct().order_by("name")


def _pulse_of_rules(request: Request, page: Page[SyncRule], count: str) -> str:
    """Tasks that have ended change no more: which is the newest, and how long ago it was, is all that they tell."""
    if any(rule.is_busy for rule in page.rows):  # type: ignore[attr-defined]
        return ""
    ages = [ago(rule.newest_at) for rule in page.rows]  # type: ignore[attr-defined]
    return pulse_of(request, page.rows, ages, page.back, page.on, count)


def _rows(rules: Sequence[SyncRule], tasks: Mapping[int | None, SyncTask]) -> list[RuleRow]:
    waiting.fill_in(tasks.values())
    asking = removals.asking(rules)
    oldest = lag.oldest_waiting([rule.pk for rule in rules])
    why = runs.reasons(tasks.values())
    rows = []
    for rule in rules:
        task = tasks.get(rule.pk)
        reason = why.get(task.pk, "") if task else ""
        rows.append(RuleRow(rule, task, oldest.get(rule.pk), asking.get(rule.pk), reason))
    return rows


@require_safe
def schedule_times(request: Request) -> HttpResponse:
    """The next times of a schedule that somebody is writing."""
    schedule = Schedule(request.GET.get("schedule", ""), request.GET.get("schedule_zone", "") or "UTC")
    return render(request, "rules/_times.html", {"schedule": schedule})


@page_or_fragment
def rule_new(request: Request, instance: str) -> HttpResponse:
    source = enter_instance(request, instance)
    access.require(request.user, source, Right.MANAGE_RULES)
    return _save_or_ask(request, SyncRule(source=source), "Create Instance Synchronization Rule")


@page_or_fragment
def rule_edit(request: Request, instance: str, name: str) -> HttpResponse:
    enter_instance(request, instance)
    rule = access.get_rule_or_404(request.user, instance, name, Right.MANAGE_RULES)
    return _save_or_ask(request, rule, f"Configuration of {name}")


@require_safe
@page_or_fragment
def rule_namespaces(request: Request, instance: str) -> HttpResponse:
    """The field of the form with what the source lists, asked for when the form is there already."""
    source = access.get_instance_or_404(request.user, instance, Right.MANAGE_RULES)
    editing, typed = request.GET.get("editing", ""), request.GET.get("source_namespace", "")
    if not wants_fragment(request):
        form_url = reverse("rule-edit", args=[instance, editing]) if editing else reverse("rule-new", args=[instance])
        return redirect(f"{form_url}?list=on")
    rule = access.get_rule_or_404(request.user, instance, editing) if editing else SyncRule(source=source)
    form = _form_of(request, rule, connect.namespaces(source), initial={"source_namespace": typed})
    return render(request, "rules/_namespace.html", {"form": form, "instance": source, "editing": editing})


def _form_of(request: Request, rule: SyncRule, namespaces: connect.Namespaces, **initially: Any) -> RuleForm:
    return RuleForm(request.POST or None, instance=rule, user=request.user, namespaces=namespaces, **initially)


def _save_or_ask(request: Request, rule: SyncRule, title: str) -> HttpResponse:
    """No registry is waited for, but by who asks for its list without a script that loads it."""
    source, name = rule.source, rule.name
    listed = connect.namespaces if "list" in request.GET else connect.remembered_namespaces
    form = _form_of(request, rule, listed(source))
    context = {"instance": source, "title": title, "editing": name}
    answer = save_valid(form, partial(_save, request, form))
    return answer or form_page(request, "rules/form.html", "rules/_form.html", form, context)


def _save(request: Request, form: RuleForm) -> HttpResponse:
    rule, sync_now = form.save(commit=False), form.cleaned_data.get("sync_now", False)
    task = configure.save_rule(rule, actor=request.user.get_username(), sync_now=sync_now, owner=request.user)
    message = format_html("Rule {} is saved.", rule.name)
    if task:
        link = task_link(task, rule.source.name)
        message += format_html(" {} was started to copy what is there now.", link)
    answer = saved(request, reverse("rules", args=[rule.source.name]), message)
    if rule.suspension:
        messages.warning(request, f"It is suspended, so that nothing starts it: {rule.suspension}")
    _warn_of_circle(request, rule)
    return answer


def _warn_of_circle(request: Request, rule: SyncRule) -> None:
    if ring := circles.ring_of(rule, request.user):
        messages.warning(request, ring.warning)


@require_POST
def rule_switch(request: Request, instance: str, name: str) -> HttpResponse:
    rule = access.get_rule_or_404(request.user, instance, name, Right.OPERATE)
    enabled = not rule.enabled
    if "enable" in request.POST:
        enabled = request.POST["enable"] == "true"
    configure.switch_rule(rule, enabled)
    message = f"Rule {name} is {'enabled' if enabled else 'disabled'}."
    if enabled and rule.suspension:
        message += f" Nothing starts it as long as it is suspended: {rule.suspension}"
    _warn_of_circle(request, rule)
    return acted(request, reverse("rules", args=[instance]), message)


@require_POST
def rule_sync(request: Request, instance: str, name: str) -> HttpResponse:
    """Starts a run at once, of a disabled rule too, of no suspended one; shows the one that waits or runs already."""
    rule = access.get_rule_or_404(request.user, instance, name, Right.OPERATE)
    try:
        opened = trigger.sync_now(rule, actor=request.user.get_username())
    except grants.Suspended as suspended:
        return acted(request, reverse("rule", args=[instance, name]), str(suspended), refused=True)
    except SyncRule.DoesNotExist:
        gone = f"Rule {name} was deleted a moment ago: nothing was started."
        return acted(request, reverse("rules", args=[instance]), gone, refused=True)
    # What stays in view stays true: it may have ended a moment later.
    before = "{} was open for rule {} already: no other was started."
    words = "{} was started for rule {}." if opened.created else before
    message = format_html(words, task_link(opened.task, instance), name)
    return acted(request, reverse("task", args=[instance, opened.task.pk]), message)


def rule_delete(request: Request, instance: str, name: str) -> HttpResponse:
    """GET asks, POST deletes."""
    rule = access.get_rule_or_404(request.user, instance, name, Right.MANAGE_RULES)
    if request.method == "POST":
        configure.delete_rule(rule, actor=request.user.get_username())
        return saved(request, reverse("rules", args=[instance]), f"Rule {name} is deleted.")
    running = SyncTask.objects.filter(rule=rule, status__in=OPEN).count()
    template = "rules/_delete.html" if wants_fragment(request) else "rules/delete.html"
    return render(request, template, {"rule": rule, "instance": rule.source, "running": running})


@require_safe
@page_or_fragment
def triggering_logs(request: Request, instance: str, name: str) -> HttpResponse:
    """One row per triggering of the rule, newest first."""
    rule = access.get_rule_or_404(request.user, instance, name)
    source = enter_with(request, rule)
    if is_for(request, "strip"):
        return render(request, "rules/_strip.html", {"instance": source, "rule": rule, "waiting": _oldest(rule)})
    logs = _logs(request, rule)
    pulse = _pulse_of_logs(request, logs)
    if is_known(request, pulse):
        return HttpResponse(status=204)
    waiting.fill_in(logs.page.rows)
    context = {"instance": source, "rule": rule, "waiting": partial(_oldest, rule), **vars(logs)}
    if Right.ADMINISTER in access.rights_on(request.user, source):
        context["receiver"] = notified.address(request, source)
    return live_page(
        request,
        "rules/logs.html",
        context,
        part="rules/_logs.html",
        live_id="logs",
        seconds=min(poll_seconds_of_list(logs.page.rows), telling.poll_seconds(logs.deliveries)),
        announce=logs.count,
        top=str(logs.top if logs.page.back and logs.top is not None else logs.newest),
        pulse=pulse,
    )


def _oldest(rule: SyncRule) -> datetime | None:
    return lag.oldest_waiting([rule.pk]).get(rule.pk)


@dataclass(frozen=True)
class Logs:
    """What the list of triggerings shows, its deliveries too: a page that stays open polls once.

    newest: the newest task, by its key; top: the one that was when the reader saw the list last.
    """

    rule: SyncRule
    filter: TaskFilter
    page: Page[SyncTask]
    count: str
    top: int | None
    newest: int
    missed: str
    deliveries: list[Announcement]


def _logs(request: Request, rule: SyncRule) -> Logs:
    all_tasks, narrowed = SyncTask.objects.filter(rule=rule), TaskFilter(request.GET)
    tasks = narrowed.of(all_tasks)
    page = page_of(request, tasks, descending=True, pk=number)
    top = number(request.GET.get("top", ""))
    count = told(count_up_to(tasks, page), "triggering", "triggerings")
    is_first = page.rows and not (page.back or narrowed.chosen)
    newest = page.rows[0].pk if is_first else _top(all_tasks)
    return Logs(rule, narrowed, page, count, top, newest, _missed(tasks, page, top), telling.newest(rule))


def _pulse_of_logs(request: Request, logs: Logs) -> str:
    if any(task.is_open for task in logs.page.rows) or telling.waits(logs.deliveries):
        return ""
    page, ages = logs.page, [ago(one.delivered_at or one.created_at) for one in logs.deliveries]
    besides = (page.back, page.on, logs.count, logs.newest, logs.missed)
    return pulse_of(request, [logs.rule, *page.rows, *logs.deliveries], ages, *besides)


def _top(tasks: QuerySet[SyncTask]) -> int:
    """The newest task: those that come later are new to whoever looks now."""
    newest = tasks.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0


def _missed(tasks: QuerySet[SyncTask], page: Page[SyncTask], top: int | None) -> str:
    """How many came while the reader was at a later page; blank on the first page, where they are seen."""
    newer = tasks.filter(pk__gt=top)[:MISSED_ROWS].count() if page.back and top is not None else 0
    return told(newer, "new triggering", "new triggerings") if newer else ""
