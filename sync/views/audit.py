"""Who did what, for those who administer instances."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from sync import access
from sync.models import AuditEntry, Instance, SyncRule, SyncTask
from sync.services import audit as auditing
from sync.views.filters import AuditFilter
from sync.views.http import Request, live_page, number, page_or_fragment
from sync.views.paging import count_up_to, page_of, told

# More changes than these are folded up.
FEW_CHANGES = 4
KINDS = {"syncrule": "rule", "synctask": "task", "regionpair": "regions", "user": "person"}


@dataclass(frozen=True)
class Shown:
    """url: of the page of what it tells of, blank when that is gone or has none."""

    entry: AuditEntry
    changes: list[auditing.Change]
    url: str

    @property
    def kind(self) -> str:
        model: str = self.entry.content_type.model
        return KINDS.get(model, model).capitalize()

    @property
    def is_folded(self) -> bool:
        return len(self.changes) > FEW_CHANGES


@require_safe
@page_or_fragment
def audit(request: Request) -> HttpResponse:
    """All of it for platform administrators, that of their instances and rules for who administers some."""
    instances = list(access.administered_instances(request.user))
    platform = access.is_platform_administrator(request.user)
    if not platform and not instances:
        raise Http404
    narrowed = AuditFilter(request.GET, instances)
    page = page_of(request, narrowed.of(_entries(instances, platform)), descending=True, pk=number)
    count = told(count_up_to(narrowed.of(_entries(instances, platform)), page), "entry", "entries")
    context = {"filter": narrowed, "page": page, "rows": _shown(page.rows, instances), "count": count}
    context |= {"platform": platform}
    return live_page(
        request, "audit/page.html", context, part="audit/_list.html", live_id="entries", seconds=None, announce=count
    )


def _entries(instances: Iterable[Instance], platform: bool) -> QuerySet[AuditEntry]:
    entries: QuerySet[AuditEntry] = AuditEntry.objects.select_related("content_type")
    return entries if platform else entries.filter(instance__in=[instance.pk for instance in instances])


def _shown(entries: Iterable[AuditEntry], instances: Iterable[Instance]) -> list[Shown]:
    urls = _urls(entries, instances)
    return [
        Shown(entry, auditing.changes_of(entry), urls.get((entry.content_type.model, entry.object_id), ""))
        for entry in entries
    ]


def _urls(entries: Iterable[AuditEntry], instances: Iterable[Instance]) -> dict[tuple[str, int | None], str]:
    """Of instances, rules and tasks that are still there."""
    of_type: dict[str, set[int]] = {"syncrule": set(), "synctask": set()}
    for entry in entries:
        if entry.object_id is not None and entry.content_type.model in of_type:
            of_type[entry.content_type.model].add(entry.object_id)
    rules = SyncRule.objects.filter(pk__in=of_type["syncrule"]).values_list("pk", "source__name", "name")
    tasks = SyncTask.objects.filter(pk__in=of_type["synctask"]).exclude(source=None).order_by()
    found: dict[tuple[str, int | None], str] = {
        ("instance", one.pk): reverse("instance", args=[one.name]) for one in instances
    }
    found |= {("syncrule", pk): reverse("rule", args=[source, name]) for pk, source, name in rules}
    named = tasks.values_list("pk", "source__name")
    return found | {("synctask", pk): reverse("task", args=[source, pk]) for pk, source in named}
