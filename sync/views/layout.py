"""What every page shows around its content: the instance switcher and the warning about missing workers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from django.core.cache import cache
from django.http import Http404, HttpRequest
from django.urls import reverse

from sync import access
from sync.models import Instance, SyncRule, SyncTask
from sync.services import health, preferences, runs
from sync.views.http import Request, wants_fragment

SESSION_KEY = "instance"
WORKERS_SECONDS = 10
# Above so many choices there is a field to filter them.
FILTERED_CHOICES = 8
# Pages that every instance has, besides its rules.
OF_EACH_INSTANCE = ("rule-new", "instance")
# What the list of rules of another instance is narrowed to and sorted by as well. Not the target: rules there may have
# none to it; nor the page, whose keys are names of this list.
CARRIED = ("q", "state", "sort")


def enter_instance(request: Request, name: str) -> Instance:
    """The instance of the path, remembered as the current one; 404 when the user may not see it."""
    instance = _instance(request, name)
    if request.session.get(SESSION_KEY) != name:
        request.session[SESSION_KEY] = name
    return instance


def enter_with(request: Request, found: SyncRule | SyncTask) -> Instance:
    """The same of a rule or task that was looked up with its source: a poll asks no more, and changes no choice."""
    source = cast(Instance, found.source)
    if not wants_fragment(request):
        return enter_instance(request, source.name)
    Layout.of(request).current = source
    return source


def _instance(request: Request, name: str) -> Instance:
    """A page shows all that the user may see in its switcher: they are looked up once."""
    if wants_fragment(request):
        found = access.get_instance_or_404(request.user, name)
        Layout.of(request).current = found
        return found
    for instance in Layout.of(request).instances:
        if instance.name == name:
            return instance
    raise Http404


@dataclass(frozen=True)
class Choice:
    """failing: how many of the instance's rules are."""

    instance: Instance
    url: str
    failing: int


class Layout:
    """Looked up when a template asks for it, so that pages without a switcher cost no query."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @classmethod
    def of(cls, request: HttpRequest) -> "Layout":
        """One for each request, whoever asks: views, and every template that is rendered."""
        known: Layout | None = getattr(request, "layout", None)
        if known is None:
            known = cls(request)
            request.layout = known  # type: ignore[attr-defined]
        return known

    @cached_property
    def instances(self) -> list[Instance]:
        return list(access.visible_instances(self._request.user))

    @cached_property
    def current(self) -> Instance | None:
        """The instance of the path, else the one chosen last, else the first that has rules, else the first."""
        match = self._request.resolver_match
        named = match.kwargs.get("instance") if match else None
        name = named or self._request.session.get(SESSION_KEY)
        chosen = next((instance for instance in self.instances if instance.name == name), None)
        return chosen or (None if named else self._first)

    @property
    def _first(self) -> Instance | None:
        rules = SyncRule.objects.filter(source__in=self.instances).order_by()
        with_rules = set(rules.values_list("source_id", flat=True).distinct())
        return min(self.instances, key=lambda instance: instance.pk not in with_rules, default=None)

    @cached_property
    def choices(self) -> list[Choice]:
        """The same page of every instance, as far as another instance has it."""
        match = self._request.resolver_match
        page = match.url_name if match and match.url_name in OF_EACH_INSTANCE else "rules"
        query = self._carried if match and match.url_name == "rules" else {}
        failing = runs.failing_now()
        return [
            Choice(instance, reverse(page, args=[instance.name], query=query or None), failing[instance.pk])
            for instance in self.instances
        ]

    @property
    def _carried(self) -> dict[str, str]:
        return {name: text for name in CARRIED if (text := self._request.GET.get(name))}

    @cached_property
    def _rights(self) -> dict[int, frozenset[access.Right]]:
        return access.all_rights(self._request.user)

    def may(self, right: access.Right, instance: Instance | None) -> bool:
        """Whether the user has the right on the instance; asked for all instances at once."""
        if instance is None:
            return False
        everything = access.is_platform_administrator(self._request.user)
        return everything or right in self._rights.get(instance.pk, ())

    @cached_property
    def administers(self) -> bool:
        """Whether there is an instance whose access the user gives and takes."""
        user = self._request.user
        return access.is_platform_administrator(user) or access.administered_instances(user).exists()

    @property
    def failing(self) -> int:
        """How many rules of the current instance are: beside them in the navigation."""
        return runs.failing_now()[self.current.pk] if self.current else 0

    @property
    def many_choices(self) -> bool:
        return len(self.choices) > FILTERED_CHOICES

    @property
    def preferences(self) -> dict[str, Any]:
        """Theme and shortcuts of the user; the defaults for who is not signed in."""
        return preferences.kept_in(self._request.session)

    def missing_workers(self, of: Instance | SyncRule | SyncTask | None) -> list[str]:
        """Why tasks of the rule, of the rules of the instance, or of all that one sees (None) will wait.

        Nobody who executes them was there some seconds ago.
        """
        known: health.Staffing | None = cache.get_or_set("staffed", health.staffing, WORKERS_SECONDS)
        if known is None:
            return []
        if isinstance(of, Instance):
            return known.missing(of.pk, self._sees)
        if of is None:
            needs = {need for instance in self.instances for need in known.used.get(instance.pk, ())}
            return known.missing_for(needs, self._sees) if needs else []
        return known.missing_for([health.need_of(of)], self._sees)

    def _sees(self, instance: int) -> bool:
        """Asked only when it matters: a poll needs no other instances."""
        return any(one.pk == instance for one in self.instances)


def layout(request: HttpRequest) -> dict[str, Layout]:
    return {"layout": Layout.of(request)}
