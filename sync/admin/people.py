"""Who did what, and who people are at the provider of single sign-on, in the admin."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest

from sync import access
from sync.admin.base import NUMBER, LargeTableAdmin, ReadOnlyAdmin
from sync.models import AuditEntry, Identity
from sync.services import grants

admin.site.unregister(AuditEntry)


admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    """Django's own, with the roles of a person, which are given in the console."""

    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "roles")
    # What is told of each costs some queries.
    list_per_page = 25
    readonly_fields = ("roles",)
    fieldsets = (
        *(UserAdmin.fieldsets or ())[:1],
        ("Roles on instances", {"fields": ("roles",)}),
        *(UserAdmin.fieldsets or ())[1:],
    )

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(name for name in self.list_display if name != "roles" or _may_read_roles(request))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        told = super().get_fieldsets(request, obj)
        return told if _may_read_roles(request) else [one for one in told if one[1]["fields"] != ("roles",)]

    @admin.display(description="Roles on instances")
    def roles(self, person: User) -> str:
        if access.is_platform_administrator(person):
            return "All: platform administrator"
        held = grants.roles_of(person) if person.pk else []
        return "; ".join(f"{instance.name}: {', '.join(words)}" for instance, words in held) or "None"


def _may_read_roles(request: HttpRequest) -> bool:
    """They name every instance."""
    return access.is_platform_administrator(request.user)


class ForPlatformAdministrators(ReadOnlyAdmin):
    """It belongs to no instance."""

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
