"""What a report of a fault tells of the request and of the code it happened in: never what somebody entered."""

from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class Filter(SafeExceptionReporterFilter):
    """Passwords pass through too many hands to name each: no value of a form, and none of a variable, is told.

    With DEBUG, which is for development alone, all of them are.
    """

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        if request is None:
            return {}
        return dict.fromkeys(request.POST, self.cleansed_substitute) if self.is_active(request) else request.POST

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        known = dict(tb_frame.f_locals)
        return (dict.fromkeys(known, self.cleansed_substitute) if self.is_active(request) else known).items()
