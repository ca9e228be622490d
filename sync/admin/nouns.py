"""Instances and rules in the admin."""

from functools import partial
from operator import attrgetter
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from sync import access
from sync.admin.base import GrantedAdmin, ReadOnlyAdmin
from sync.forms.shared import check_fit
from sync.models import Instance, SyncRule
from sync.services import circles, configure, trial


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    """Whoever changes where an instance is, and how it is reached, decides who gets its password: not done here."""

    instance = "pk"
    actions = ("test_connection",)

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
                    "pool",
                )
            },
        ),
        ("Health", {"fields": ("checked_at", "healthy", "latency_ms", "health_reason")}),
        ("Outage", {"fields": ("down_since", "down_reason", "next_try_at")}),
    )

    @admin.action(description="Test connection", permissions=["view"])
    def test_connection(self, request: HttpRequest, queryset: "QuerySet[Instance]") -> None:
        self.act(request, queryset, lambda one: one, trial.test_connection, "Tested, see Health")


class FittingRule(forms.ModelForm):  # type: ignore[type-arg]
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        check_fit(self)


@admin.register(SyncRule)
class SyncRuleAdmin(GrantedAdmin):
    """Rules are written in the console, which checks the writer's roles; here by platform administrators alone."""

    instance = "source"
    form = FittingRule
    actions = ("enable", "disable")
    list_display = ("name", "source", "source_namespace", "target", "overwrite", "enabled", "suspension")
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.is_platform_administrator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)

    @admin.action(description="Enable", permissions=["view"])
    def enable(self, request: HttpRequest, queryset: "QuerySet[SyncRule]") -> None:
        self.act(request, queryset, attrgetter("source"), partial(configure.switch_rule, enabled=True), "Enabled")
        for rule in queryset.exclude(suspension=""):
            told = f"Rule {rule} is suspended, so that nothing starts it: {rule.suspension}"
            self.message_user(request, told, messages.WARNING)

    @admin.action(description="Disable", permissions=["view"])
    def disable(self, request: HttpRequest, queryset: "QuerySet[SyncRule]") -> None:
        self.act(request, queryset, attrgetter("source"), partial(configure.switch_rule, enabled=False), "Disabled")

    def get_fieldsets(self, request: HttpRequest, obj: SyncRule | None = None) -> Any:
        """With what saving does besides."""
        user = cast(User, request.user)
        taken_over = configure.takeover(obj, user) if obj and self.has_change_permission(request) else None
        fields: dict[str, Any] = {"fields": self.get_fields(request, obj)}
        if taken_over:
            fields["description"] = f"Stands on {taken_over[0]}. Once it is saved here, it stands on {taken_over[1]}."
        return [(None, fields)]

    def save_model(self, request: HttpRequest, obj: SyncRule, form: Any, change: bool) -> None:
        configure.save_rule(obj, owner=cast(User, request.user))
        if obj.suspension:
            messages.warning(request, f"Rule {obj} is suspended, so that nothing starts it: {obj.suspension}")
        if ring := circles.ring_of(obj, request.user):
            messages.warning(request, ring.warning)

    def delete_model(self, request: HttpRequest, obj: SyncRule) -> None:
        configure.delete_rule(obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[SyncRule]") -> None:
        for rule in queryset:
            configure.delete_rule(rule)
