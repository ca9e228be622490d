"""Who must sign in first comes back to where they were."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse


class SignInMiddleware(LoginRequiredMiddleware):
    """Everything is for who is signed in, unless a view says otherwise."""

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponseRedirect:
        """What a form is sent to can often not be opened: after signing in its page is shown."""
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        page = urlsplit(request.headers.get("Referer", ""))
        there = page._replace(scheme="", netloc="").geturl() if page.netloc == request.get_host() else reverse("home")
        return redirect_to_login(there, self.get_login_url(view_func), self.get_redirect_field_name(view_func))
