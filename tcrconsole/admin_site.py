"""The admin for support staff, named after the product. What the console is about comes first."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest

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
