"""What all pages of the admin share: what staff may see obeys their roles, and nothing counts a large table."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar, cast

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from sync import access
from sync.access import Right
from sync.models import Instance

COUNTED_ROWS = 5000
NUMBER = re.compile(r"[0-9]{1,18}")
DIGEST = re.compile(r"([a-z0-9]+:)?([0-9a-f]{12,})")


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than a bound: a search narrows down what lies beyond it."""

    @cached_property
    def count(self) -> int:
        return cast("QuerySet[Any]", self.object_list)[:COUNTED_ROWS].count()


Thing = TypeVar("Thing", bound=Model)


class GrantedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Staff see what their roles on instances let them see; no permission of a whole table is needed, or gives more.

    instance: the way from a row to the instance that it belongs to.
    """

    instance: str

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True  # the site lets in nobody but staff

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """By filters alone: of a column that is not shown, an address tells letter by letter what it holds."""
        return lookup.split("__")[0] in map(str, self.get_list_filter(request))

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows = super().get_queryset(request)
        if access.is_platform_administrator(request.user):
            return rows
        seen = access.visible_instances(request.user).order_by().values("pk")
        return rows.filter(**{f"{self.instance}__in": list(seen.values_list("pk", flat=True))})

    def act(
        self,
        request: HttpRequest,
        rows: "QuerySet[Thing]",
        instance_of: Callable[[Thing], Instance | None],
        call: Callable[[Thing], object],
        done: str,
    ) -> None:
        """Calls it for each row on whose instance the user is Operator, and says for how many, and for which not."""
        acted: list[str] = []
        refused: list[str] = []
        for row in rows:
            instance = instance_of(row)
            may = instance is not None and Right.OPERATE in access.rights_on(request.user, instance)
            (acted if may and call(row) is not False else refused).append(str(row))
        if acted:
            self.message_user(request, f"{done}: {', '.join(acted)}.", messages.SUCCESS)
        if refused:
            self.message_user(request, f"Nothing was done with: {', '.join(refused)}.", messages.WARNING)


class ReadOnlyAdmin(GrantedAdmin):
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


def with_digest(term: str) -> Iterator[Q]:
    """A digest, or its first 12 hexadecimal digits or more, with or without “sha256:”."""
    if match := DIGEST.fullmatch(term):
        least = (match[1] or "sha256:") + match[2]
        # Unlike LIKE, a range uses the index in every database and collation: “g” follows the last digit.
        yield Q(digest__gte=least, digest__lt=least + "g")


def ids(rows: "QuerySet[Any]") -> list[int]:
    """Of a small table, asked beforehand: planners handle a few constants better than a join."""
    return list(rows.values_list("pk", flat=True))
