"""What a list is narrowed to. It stands in the URL; what is not understood of it narrows nothing."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from sync.models import OPEN, AuditEntry, Instance, Status, SyncRule, SyncTask, TaskRepository, Trigger
from sync.services import audit, runs, waiting

ANY = ("", "All")
PERIODS = [("1", "Last 24 hours"), ("7", "Last 7 days"), ("30", "Last 30 days")]
SHOWN = {
    "copied": "with something copied",
    "unchanged": "with something unchanged",
    "conflict": "with conflicts",
    "failed": "with failures",
    "waiting": "with something left to do",
    "superseded": "with something superseded",
    "removed": "with something removed",
}


def _search(label: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"type": "search", "autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(label=label, required=False, max_length=200, widget=widget)


def _choice(label: str, choices: Iterable[tuple[str, str]]) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, choices=[ANY, *choices])


class Filter(forms.Form):
    def __init__(self, query: Mapping[str, str]) -> None:
        super().__init__(query, auto_id="filter-%s")

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """What narrows the list, by field."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class RuleFilter(Filter):
    q = _search("Search")
    state = _choice("State", [(state, state.capitalize()) for state in ("enabled", "disabled", "suspended", "failing")])
    target = _choice("Target instance", [])

    def __init__(self, query: Mapping[str, str], targets: Callable[[], Iterable[Instance]]) -> None:
        """targets: asked for when the choices are shown, or when one was made; a poll does neither."""
        super().__init__(query)
        self.fields["target"] = forms.ChoiceField(
            label="Target instance",
            required=False,
            choices=lambda: [ANY, *((target.name, str(target)) for target in targets())],
        )

    def of(self, rules: QuerySet[SyncRule]) -> QuerySet[SyncRule]:
        if text := self.chosen.get("q"):
            fields = ("name", "description", "source_namespace", "repositories", "target_namespace")
            rules = rules.filter(_holds(text, fields))
        if target := self.chosen.get("target"):
            rules = rules.filter(target__name=target)
        state = self.chosen.get("state")
        if state == "failing":
            return runs.failing(rules)
        if state == "suspended":
            return rules.exclude(suspension="")
        return rules.filter(enabled=state == "enabled") if state else rules


class TaskFilter(Filter):
    status = _choice("Status", Status.choices)
    trigger = _choice("Trigger", Trigger.choices)
    period = _choice("Period", PERIODS)

    def of(self, tasks: QuerySet[SyncTask]) -> QuerySet[SyncTask]:
        if status := self.chosen.get("status"):
            tasks = tasks.filter(_shown_as(status))
        if trigger := self.chosen.get("trigger"):
            tasks = tasks.filter(trigger=trigger)
        if days := self.chosen.get("period"):
            tasks = tasks.filter(created_at__gte=timezone.now() - timedelta(days=int(days)))
        return tasks


class AuditFilter(Filter):
    who = _search("Who or what")
    did = _choice("Action", audit.Verb.choices)
    kind = _choice("About", audit.KINDS)
    period = _choice("Period", [*PERIODS, ("365", "Last 365 days")])

    def __init__(self, query: Mapping[str, str], instances: Iterable[Instance]) -> None:
        super().__init__(query)
        self._instances = {instance.name: instance for instance in instances}
        self.fields["instance"] = _choice("Instance", [(name, name) for name in self._instances])

    def of(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        if who := self.chosen.get("who"):
            entries = entries.filter(_holds(who, ("actor_name", "object_repr")))
        if verb := self.chosen.get("did"):
            entries = entries.filter(verb=verb)
        if kind := self.chosen.get("kind"):
            entries = entries.filter(content_type=audit.type_of(kind))
        if name := self.chosen.get("instance"):
            entries = entries.filter(instance=self._instances[name].pk)
        if days := self.chosen.get("period"):
            entries = entries.filter(timestamp__gte=timezone.now() - timedelta(days=int(days)))
        return entries


class RepositoryFilter(Filter):
    """`show`: repositories with resources of this outcome, or with some that are still to be done."""

    q = _search("Search repositories")
    show = forms.ChoiceField(
        required=False,
        widget=forms.HiddenInput,
        choices=[(word, word) for word in SHOWN],
    )

    @property
    def words(self) -> str:
        """What the repositories have that are shown."""
        return SHOWN.get(self.chosen.get("show", ""), "")

    @property
    def none(self) -> str:
        named = f" with “{self.chosen['q']}” in its name" if "q" in self.chosen else ""
        return f"There is no repository{named}{f' {self.words}' if self.words else ''}."

    def of(self, repositories: QuerySet[TaskRepository]) -> QuerySet[TaskRepository]:
        if text := self.chosen.get("q"):
            repositories = repositories.filter(name__icontains=text)
        show = self.chosen.get("show")
        if show == "waiting":
            return repositories.filter(_still_to_be_done())
        if show == "failed":
            return repositories.filter(Q(failed__gt=0) | Q(status=Status.FAILED))
        return repositories.filter(**{f"{show}__gt": 0}) if show else repositories


def _shown_as(status: str) -> Q:
    """A task that has begun, and waits, is shown as waiting."""
    if status == Status.WAITING:
        return Q(status=status) | waiting.is_waiting()
    return Q(status=status) & ~waiting.is_waiting() if status == Status.SYNCHRONIZING else Q(status=status)


def _still_to_be_done() -> Q:
    done = F("copied") + F("unchanged") + F("conflict") + F("superseded") + F("failed") + F("removed")
    return Q(status__in=OPEN) | Q(planned__gt=done)


def _holds(text: str, fields: Iterable[str]) -> Q:
    found = Q()
    for field in fields:
        found |= Q(**{f"{field}__icontains": text})
    return found
