"""For support staff. What tasks did is read-only; nothing here counts a large table."""

from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sync.models import Delivery, Instance, Notification, SyncRule, SyncTask, TaskRepository, TaskResource
from sync.services import configure

COUNTED_ROWS = 5000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than a bound: a search narrows down what lies beyond it."""

    @cached_property
    def count(self) -> int:
        return cast("QuerySet[Any]", self.object_list)[:COUNTED_ROWS].count()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Instance)
class InstanceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The password is set in the console's own pages; it is shown nowhere."""

    list_display = ("name", "region", "kind", "url", "healthy", "checked_at")
    list_filter = ("kind", "healthy")
    search_fields = ("name", "region", "url")
    readonly_fields = ("checked_at", "healthy", "latency_ms", "health_reason", "created_at")


@admin.register(SyncRule)
class SyncRuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "source", "source_namespace", "target", "overwrite", "enabled")
    list_filter = ("enabled", "overwrite")
    list_select_related = ("source", "target")
    search_fields = ("name", "description", "source_namespace", "source__name", "target__name")
    autocomplete_fields = ("source", "target")

    def delete_model(self, request: HttpRequest, obj: SyncRule) -> None:
        configure.delete_rule(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[SyncRule]") -> None:
        for rule in queryset:
            configure.delete_rule(rule)


@admin.register(SyncTask)
class SyncTaskAdmin(ReadOnlyAdmin):
    list_display = ("id", "rule_name", "source", "trigger", "status", "created_at", "planned", "failed")
    list_filter = ("status", "trigger")
    list_select_related = ("rule", "source", "target")
    search_fields = ("id",)
    search_help_text = "Task ID, rule name, whole repository name, or digest (sha256:…)"

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """By the look of the term one indexed question, never a search through all columns of joined tables."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isdecimal():
            return queryset.filter(pk=int(term)), False
        if ":" in term:
            with_digest = TaskResource.objects.filter(digest=term).values("repository__task")
            return queryset.filter(pk__in=with_digest), False
        with_repository = TaskRepository.objects.filter(name=term).values("task")
        return queryset.filter(Q(rule__name=term) | Q(snapshot__name=term) | Q(pk__in=with_repository)), False


@admin.register(TaskRepository)
class TaskRepositoryAdmin(ReadOnlyAdmin):
    list_display = ("name", "task_id", "status", "planned", "copied", "unchanged", "conflict", "failed")
    list_filter = ("status",)
    ordering = ("-id",)
    search_fields = ("=task__id", "=name", "=target_name")
    search_help_text = "Task ID, or whole repository name"
    raw_id_fields = ("task",)


@admin.register(TaskResource)
class TaskResourceAdmin(ReadOnlyAdmin):
    list_display = ("tag", "repository", "outcome", "digest", "http_status", "finished_at")
    list_filter = ("outcome",)
    list_select_related = ("repository",)
    ordering = ("-id",)
    search_fields = ("=digest", "=repository__task__id", "=repository__name")
    search_help_text = "Digest (sha256:…), task ID, or whole repository name"
    raw_id_fields = ("repository",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("repository", "tag", "rule", "digest", "delivered_at")
    list_select_related = ("rule__source",)
    ordering = ("-id",)
    search_fields = ("=digest", "=repository", "=rule__name")
    search_help_text = "Digest (sha256:…), whole repository name in the target, or rule name"
    raw_id_fields = ("rule",)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "instance", "repository", "tag", "digest")
    list_select_related = ("instance",)
    ordering = ("-id",)
    search_fields = ("=digest", "=repository", "=instance__name")
    search_help_text = "Digest (sha256:…), whole repository name, or instance name"
    raw_id_fields = ("instance",)
