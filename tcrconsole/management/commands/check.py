"""manage.py check: Django's, and whether the keys at hand decrypt what is stored."""

from typing import Any

from django.core.management.commands import check

from sync.checks import SECRETS


class Command(check.Command):
    def handle(self, *app_labels: Any, **options: Any) -> None:
        """By itself no check of the database runs, as each command runs all others before its work."""
        if not (app_labels or options["tags"] or options["deploy"] or options["list_tags"]):
            self.check(tags=[SECRETS], include_deployment_checks=True)
        super().handle(*app_labels, **options)
