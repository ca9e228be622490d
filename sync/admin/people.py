"""Who did what, and who people are at the provider of single sign-on, in the admin."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from sync import access
from sync.admin.base import NUMBER, LargeTableAdmin, ReadOnlyAdmin
from sync.models import AuditEntry, Identity

admin.site.unregister(AuditEntry)


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
