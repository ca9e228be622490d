"""What happened, in the admin: tasks and all that belongs to them. Read-only; nothing counts a large table."""

from collections.abc import Iterator
from functools import partial

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sync.admin.base import NUMBER, LargeTableAdmin, ids, with_digest
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
from sync.services import grants, trigger


@admin.register(SyncTask)
class SyncTaskAdmin(LargeTableAdmin):
    instance = "source"
    list_display = ("id", "rule_name", "source", "trigger", "status", "created_at", "planned", "failed")
    list_filter = ("status", "trigger")
    list_select_related = ("rule", "source", "target")
    search_help_text = "Task ID, rule name, whole repository name in the source, or digest (12 digits or more)"
    actions = ("stop", "retry_failed")

    @admin.action(description="Stop", permissions=["view"])
    def stop(self, request: HttpRequest, queryset: "QuerySet[SyncTask]") -> None:
        stop = partial(trigger.stop_task, actor=request.user.get_username())
        self.act(request, queryset, lambda task: task.source, stop, "Asked to stop")

    @admin.action(description="Retry what failed", permissions=["view"])
    def retry_failed(self, request: HttpRequest, queryset: "QuerySet[SyncTask]") -> None:
        def retry(task: SyncTask) -> bool:
            try:
                trigger.retry_failed(task, actor=request.user.get_username())
            except (trigger.NothingToRetry, grants.Suspended) as refusal:
                self.message_user(request, f"{task}: {refusal}", messages.WARNING)
                return False
            except SyncRule.DoesNotExist:
                return False
            return True

        self.act(request, queryset, lambda task: task.source, retry, "Retried")

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=ids(SyncRule.objects.filter(name=term)))
        yield Q(pk__in=TaskRepository.objects.filter(name=term).values("task"))
        if NUMBER.fullmatch(term):
            yield Q(pk=int(term))
        for way in with_digest(term):
            resources = TaskResource.objects.filter(way).values("repository")
            yield Q(pk__in=TaskRepository.objects.filter(pk__in=resources).values("task"))


@admin.register(TaskRepository)
class TaskRepositoryAdmin(LargeTableAdmin):
    instance = "task__source"
    list_display = ("name", "task_id", "status", "planned", "copied", "unchanged", "conflict", "failed")
    list_filter = ("status",)
    search_help_text = "Task ID, or whole repository name in the source"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(name=term)
        if NUMBER.fullmatch(term):
            yield Q(task=int(term))


@admin.register(TaskResource)
class TaskResourceAdmin(LargeTableAdmin):
    instance = "repository__task__source"
    list_display = ("tag", "repository", "outcome", "digest", "http_status", "finished_at")
    list_filter = ("outcome",)
    list_select_related = ("repository",)
    search_help_text = "Digest (12 digits or more), task ID, or whole repository name in the source"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(repository__in=TaskRepository.objects.filter(name=term))
        if NUMBER.fullmatch(term):
            yield Q(repository__in=TaskRepository.objects.filter(task=int(term)))
        yield from with_digest(term)


class OfTaskAdmin(LargeTableAdmin):
    """What is looked for by the task that it belongs to."""

    instance = "task__source"

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
    instance = "rule__source"
    list_display = ("repository", "tag", "rule", "digest", "delivered_at")
    list_select_related = ("rule__source",)
    search_help_text = "Digest (12 digits or more), whole repository name in the target, or rule name"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=ids(SyncRule.objects.filter(name=term)))
        # The index that knows repositories begins with rule and target.
        yield Q(rule__in=ids(SyncRule.objects.all()), target__in=ids(Instance.objects.all()), repository=term)
        yield from with_digest(term)


@admin.register(Notification)
class NotificationAdmin(LargeTableAdmin):
    instance = "instance"
    list_display = ("received_at", "instance", "repository", "tag", "digest")
    list_select_related = ("instance",)
    search_help_text = "Digest (12 digits or more), whole repository name, or instance name"

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(instance__in=ids(Instance.objects.filter(name=term)))
        yield Q(repository=term)
        yield from with_digest(term)


@admin.register(Announcement)
class AnnouncementAdmin(LargeTableAdmin):
    """Of an address, scheme and host are shown: the rest may be its owner's secret."""

    instance = "rule__source"

    list_display = ("created_at", "rule", "task_id", "place", "status", "attempts", "http_status", "next_try_at")
    list_filter = ("status",)
    list_select_related = ("rule__source",)
    search_help_text = "Task ID, or rule name"
    fields = (
        *("rule", "task", "place", "status", "attempts", "http_status", "reason"),
        *("created_at", "next_try_at", "delivered_at"),
    )

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(rule__in=ids(SyncRule.objects.filter(name=term)))
        if NUMBER.fullmatch(term):
            yield Q(task=int(term))
