"""The admin for support staff, named after the product. What the console is about comes first."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

FIRST = "sync"
# Of apps whose own name means something to programmers only.
NAMES = {"django_rq": "Queue"}


class ConsoleAdminSite(AdminSite):
    site_header = "tcrconsole admin site"
    site_title = "tcrconsole"
    index_title = "Instances, rules and tasks"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["name"] = NAMES.get(app["app_label"], app["name"])
        return sorted(apps, key=lambda app: app["app_label"] != FIRST)


class ConsoleAdminConfig(AdminConfig):
    default_site = "tcrconsole.admin_site.ConsoleAdminSite"


def queues_for_superusers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """django-rq lets in all staff, who could empty queues there."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = getattr(request, "user", None)
        if request.path.startswith(f"{reverse('admin:index')}django_rq/") and not (user and user.is_superuser):
            raise PermissionDenied
        return get_response(request)

    return middleware
