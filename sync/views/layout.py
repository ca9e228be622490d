"""What every page shows around its content: the instance switcher and the warning about missing workers."""

from dataclasses import dataclass
from functools import cached_property

from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse

from sync import access
from sync.models import Instance, SyncRule
from sync.services import health
from sync.views.http import Request

SESSION_KEY = "instance"
WORKERS_SECONDS = 10


def enter_instance(request: Request, name: str) -> Instance:
    """The instance of the path, remembered as the current one; 404 when the user may not see it."""
    instance = access.get_instance_or_404(request.user, name)
    if request.session.get(SESSION_KEY) != name:
        request.session[SESSION_KEY] = name
    return instance


@dataclass(frozen=True)
class Choice:
    instance: Instance
    url: str


class Layout:
    """Looked up when a template asks for it, so that pages without a switcher cost no query."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

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
        with_rules = set(SyncRule.objects.filter(source__in=self.instances).values_list("source_id", flat=True))
        return min(self.instances, key=lambda instance: instance.pk not in with_rules, default=None)

    @cached_property
    def choices(self) -> list[Choice]:
        """The same page of every instance, as far as another instance has it."""
        match = self._request.resolver_match
        page = "rule-new" if match and match.url_name == "rule-new" else "rules"
        return [Choice(instance, reverse(page, args=[instance.name])) for instance in self.instances]

    @cached_property
    def no_worker(self) -> bool:
        """Tasks will wait: no worker is running, or the queue cannot be asked."""
        return not cache.get_or_set("worker_count", health.worker_count, WORKERS_SECONDS)


def layout(request: HttpRequest) -> dict[str, Layout]:
    return {"layout": Layout(request)}
