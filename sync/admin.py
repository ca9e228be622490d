"""For support staff. Instances and what tasks did are read-only; nothing here counts a large table."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sync.models import (
    Announcement,
    Delivery,
    Instance,
    LogLine,
    Notification,
    SyncRule,
    SyncTask,
    TaskPart,
    TaskRepository,
    TaskResource,
)
from sync.services import circles, configure

COUNTED_ROWS = 5000
NUMBER = re.compile(r"[0-9]{1,18}")
DIGEST = re.compile(r"([a-z0-9]+:)?([0-9a-f]{12,})")


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than a bound: a search narrows down what lies beyond it."""

    @cached_property
    def count(self) -> int:
        return cast("QuerySet[Any]", self.object_list)[:COUNTED_ROWS].count()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LargeTableAdmin(ReadOnlyAdmin):
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering = ("-id",)
    # The page has a search field when there is one; what is searched, `ways` tells.
    search_fields = ("pk",)

    @abstractmethod
    def ways(self, term: str) -> Iterator[Q]:
        """What the term may be; each a condition without a join, for one index to answer."""

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """A union, because an OR over several indexes makes PostgreSQL read the whole table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        rows = self.model._default_manager.order_by()
        found = [rows.filter(way).values("pk") for way in self.ways(term)]
        return (queryset.filter(pk__in=found[0].union(*found[1:])) if found else queryset.none()), False


def _with_digest(term: str) -> Iterator[Q]:
    """A digest, or its first 12 hexadecimal digits or more, with or without “sha256:”."""
    if match := DIGEST.fullmatch(term):
        least = (match[1] or "sha256:") + match[2]
        # Unlike LIKE, a range uses the index in every database and collation: “g” follows the last digit.
        yield Q(digest__gte=least, digest__lt=least + "g")


def _ids(rows: "QuerySet[Any]") -> list[int]:
    """Of a small table, asked beforehand: planners handle a few constants better than a join."""
    return list(rows.values_list("pk", flat=True))


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    """Whoever changes where an instance is, and how it is reached, decides who gets its password: not done here."""

    list_display = ("name", "region", "kind", "url", "healthy", "checked_at", "down_since")
    list_filter = ("kind", "healthy")
    search_fields = ("name", "region", "url")
    fieldsets = (
        (
            None,
            {
                "description": "To look at only. Platform administrators add, change and delete instances "
                "in the console, under Instances.",
                "fields": ("name", "region", "kind", "url", "username", "password_expires_on", "created_at"),
            },
        ),
        (
            "Connection",
            {
                "fields": (
                    "allow_plain_http",
                    "ca_certificate",
                    "proxy",
                    "connect_timeout",
                    "read_timeout",
                    "max_connections",
                    "max_bytes_per_second",
                )
            },
        ),
        ("Health", {"fields": ("checked_at", "healthy", "latency_ms", "health_reason")}),
        ("Outage", {"fields": ("down_since", "down_reason", "next_try_at")}),
    )


@admin.register(SyncRule)
class SyncRuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "source", "source_namespace", "target", "overwrite", "enabled")
    list_filter = ("enabled", "overwrite")
    list_select_related = ("source", "target")
    search_fields = ("name", "description", "source_namespace", "source__name", "target__name")
    autocomplete_fields = ("source", "target")
    # An address goes with its secret, which is entered in the console.
    exclude = ("webhook_url",)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Names the rules alone: what they brought stays in the target, and its records are too many to list."""
        names = [str(rule) for rule in objs]
        return names, {"rules": len(names)}, set(), []

    def save_model(self, request: HttpRequest, obj: SyncRule, form: Any, change: bool) -> None:
        configure.save_rule(obj)
        if ring := circles.ring_of(obj):
            messages.warning(request, ring.warning)

    def delete_model(self, request: HttpRequest, obj: SyncRule) -> None:
        configure.delete_rule(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[SyncRule]") -> None:
        for rule in queryset:
            configure.delete_rule(rule)


@admin.register(SyncTask)
class SyncTaskAdmin(LargeTableAdmin):
    list_display = ("id", "rule_name", "source", "trigger", "status", "created_at", "planned", "failed")
    list_filter = ("status", "trigger")
    list_select_related = ("rule", "source", "target")
    search_help_text = "Task ID, rule name, whole repository name in the source, or digest (12 digits or more)"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=_ids(SyncRule.objects.filter(name=term)))
        yield Q(pk__in=TaskRepository.objects.filter(name=term).values("task"))
        if NUMBER.fullmatch(term):
            yield Q(pk=int(term))
        for way in _with_digest(term):
            resources = TaskResource.objects.filter(way).values("repository")
            yield Q(pk__in=TaskRepository.objects.filter(pk__in=resources).values("task"))


@admin.register(TaskRepository)
class TaskRepositoryAdmin(LargeTableAdmin):
    list_display = ("name", "task_id", "status", "planned", "copied", "unchanged", "conflict", "failed")
    list_filter = ("status",)
    search_help_text = "Task ID, or whole repository name in the source"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(name=term)
        if NUMBER.fullmatch(term):
            yield Q(task=int(term))


@admin.register(TaskResource)
class TaskResourceAdmin(LargeTableAdmin):
    list_display = ("tag", "repository", "outcome", "digest", "http_status", "finished_at")
    list_filter = ("outcome",)
    list_select_related = ("repository",)
    search_help_text = "Digest (12 digits or more), task ID, or whole repository name in the source"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(repository__in=TaskRepository.objects.filter(name=term))
        if NUMBER.fullmatch(term):
            yield Q(repository__in=TaskRepository.objects.filter(task=int(term)))
        yield from _with_digest(term)


class OfTaskAdmin(LargeTableAdmin):
    """What is looked for by the task that it belongs to."""

    search_help_text = "Task ID"

    def ways(self, term: str) -> Iterator[Q]:
        if NUMBER.fullmatch(term):
            yield Q(task=int(term))


@admin.register(TaskPart)
class TaskPartAdmin(OfTaskAdmin):
    """Who works on what: a part without a claim waits."""

    list_display = ("id", "task_id", "repository", "claim", "heartbeat_at", "lost_owners", "tries", "not_before")
    list_select_related = ("repository",)


@admin.register(LogLine)
class LogLineAdmin(OfTaskAdmin):
    list_display = ("at", "task_id", "level", "repository", "message")
    list_filter = ("level",)


@admin.register(Delivery)
class DeliveryAdmin(LargeTableAdmin):
    list_display = ("repository", "tag", "rule", "digest", "delivered_at")
    list_select_related = ("rule__source",)
    search_help_text = "Digest (12 digits or more), whole repository name in the target, or rule name"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=_ids(SyncRule.objects.filter(name=term)))
        # The index that knows repositories begins with rule and target.
        yield Q(rule__in=_ids(SyncRule.objects.all()), target__in=_ids(Instance.objects.all()), repository=term)
        yield from _with_digest(term)


@admin.register(Notification)
class NotificationAdmin(LargeTableAdmin):
    list_display = ("received_at", "instance", "repository", "tag", "digest")
    list_select_related = ("instance",)
    search_help_text = "Digest (12 digits or more), whole repository name, or instance name"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(instance__in=_ids(Instance.objects.filter(name=term)))
        yield Q(repository=term)
        yield from _with_digest(term)


@admin.register(Announcement)
class AnnouncementAdmin(LargeTableAdmin):
    """Of an address, scheme and host are shown: the rest may be its owner's secret."""

    list_display = ("created_at", "rule", "task_id", "place", "status", "attempts", "http_status", "next_try_at")
    list_filter = ("status",)
    list_select_related = ("rule__source",)
    search_help_text = "Task ID, or rule name"
    fields = (
        *("rule", "task", "place", "status", "attempts", "http_status", "reason"),
        *("created_at", "next_try_at", "delivered_at"),
    )

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=_ids(SyncRule.objects.filter(name=term)))
        if NUMBER.fullmatch(term):
            yield Q(task=int(term))
