"""Who did what, and who people are at the provider of single sign-on, in the admin."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sync import access
from sync.admin.base import NUMBER, LargeTableAdmin, ReadOnlyAdmin
from sync.models import AuditEntry, Identity
from sync.services import grants

WHERE_ROLES = (
    "What somebody may do is given on the Access page of the console: to a person or to a group, on an instance."
)
RANKS = "Staff read this site, as far as their roles let them see. A superuser is a platform administrator."

admin.site.unregister(AuditEntry)


class OnlyPlatformAdministrators:
    """Whoever may change people may make themselves anything: Django's permissions for it count for nobody."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.is_platform_administrator(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.is_platform_administrator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(OnlyPlatformAdministrators, UserAdmin):  # type: ignore[type-arg]
    """Django's own, with the roles of a person, which are given in the console: its own permissions give nothing."""

    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "roles")
    # What is told of each costs some queries.
    list_per_page = 25
    readonly_fields = ("roles",)
    filter_horizontal = ("groups",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Roles on instances", {"fields": ("roles",), "description": WHERE_ROLES}),
        ("Personal info", {"fields": ("first_name", "last_name", "email")}),
        ("Rank and groups", {"fields": ("is_active", "is_staff", "is_superuser", "groups"), "description": RANKS}),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        self._tell(request, grants.review_rules_of(form.instance))

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        super().delete_model(request, obj)
        self._tell(request, grants.review_rules_of(None))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        super().delete_queryset(request, queryset)
        self._tell(request, grants.review_rules_of(None))

    def _tell(self, request: HttpRequest, reviewed: grants.Reviewed) -> None:
        """Of rules that stand on the rights of these people."""
        if told := reviewed.told_to(request.user):
            self.message_user(request, told, messages.WARNING)

    @admin.display(description="Roles on instances")
    def roles(self, person: User) -> str:
        if access.is_platform_administrator(person):
            return "All: platform administrator"
        held = grants.roles_of(person) if person.pk else []
        return "; ".join(f"{instance.name}: {', '.join(words)}" for instance, words in held) or "None"


@admin.register(Group)
class TeamAdmin(OnlyPlatformAdministrators, GroupAdmin):
    fieldsets = ((None, {"fields": ("name",), "description": WHERE_ROLES}),)


class ForPlatformAdministrators(ReadOnlyAdmin):
    """It belongs to no instance."""

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows = admin.ModelAdmin.get_queryset(self, request)
        return rows if access.is_platform_administrator(request.user) else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return access.is_platform_administrator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)


@admin.register(AuditEntry)
class AuditEntryAdmin(ForPlatformAdministrators, LargeTableAdmin):
    list_display = ("timestamp", "actor_name", "remote_addr", "verb", "object_repr", "content_type", "detail")
    list_filter = ("verb",)
    list_select_related = ("content_type",)
    search_help_text = "Name of who did it, or ID of what it was done to"
    fields = (
        *("timestamp", "actor_name", "remote_addr", "verb"),
        *("content_type", "object_pk", "object_repr", "detail", "changes"),
    )

    def ways(self, term: str) -> Iterator[Q]:
        yield Q(actor_name=term)
        if NUMBER.fullmatch(term):
            yield Q(object_id=int(term))


@admin.register(Identity)
class IdentityAdmin(ForPlatformAdministrators):
    """Deleted, it lets the next person of this name at the provider have the user (OIDC_ADOPT_USERS)."""

    list_display = ("user", "subject", "issuer", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "subject")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.is_platform_administrator(request.user)
