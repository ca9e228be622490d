"""Signing in: who must comes back to where they were; who tries too many passwords has to wait."""

from math import ceil
from typing import Any
from urllib.parse import urlsplit

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import LoginView, PasswordChangeView, redirect_to_login
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from django.utils import timezone


class SignInMiddleware(LoginRequiredMiddleware):
    """Everything is for who is signed in, unless a view says otherwise."""

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponseRedirect:
        """What a form is sent to can often not be opened: after signing in its page is shown."""
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        page = urlsplit(request.headers.get("Referer", ""))
        there = page._replace(scheme="", netloc="").geturl() if page.netloc == request.get_host() else reverse("home")
        return redirect_to_login(there, self.get_login_url(view_func), self.get_redirect_field_name(view_func))


class SignInView(LoginView):
    """The form for a password, and the way to the provider of single sign-on, as far as there are these."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        sso = settings.OIDC_NAME if settings.OIDC_ISSUER else ""
        return super().get_context_data(**kwargs, sso=sso, sso_only=settings.OIDC_ONLY)


def has_password(user: Any) -> bool:
    """Whether they sign in with one that is kept here."""
    return bool(user.has_usable_password() and not settings.OIDC_ONLY)


class PasswordView(PasswordChangeView):
    """Everybody's own. Who changes it is signed out everywhere else: sessions are bound to the password."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("preferences")

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.fields["old_password"].label = "Your password now"
        form.fields["new_password1"].help_text = "At least 10 characters, not digits alone, none that everybody tries."
        form.fields["new_password2"].label = "New password again"
        form.fields["new_password2"].help_text = ""
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, changeable=has_password(self.request.user))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs) if has_password(request.user) else self.get(request)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. You are signed out everywhere else.")
        return super().form_valid(form)

    def form_invalid(self, form: Any) -> HttpResponse:
        answer = super().form_invalid(form)
        answer.status_code = 422
        return answer


# So many times the wrong passwords for one name from one address lock the address for all names; as many for one name,
# from wherever, and each address has a single one left for it.
CROWD = 10


class Attempts(AxesDatabaseHandler):  # type: ignore[misc]
    """Also of who comes in by another door than the form, where nothing was counted beforehand."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """For this name from this address; as many as lock it where there are very many from the one or for the other.

        Nobody is locked out by others: from an address that has not failed yet the right password is taken.
        """
        failures: int = super().get_failures(request, credentials)
        name = (credentials or {}).get("username") or ""
        if _many(ip_address=request.META["REMOTE_ADDR"]) or (failures and _many(username=name)):
            return max(failures, int(settings.AXES_FAILURE_LIMIT))
        return failures

    def user_logged_in(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        AxesProxyHandler.update_request(request)
        super().user_logged_in(sender, request, user, **kwargs)

    def user_logged_out(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        AxesProxyHandler.update_request(request)
        super().user_logged_out(sender, request, user, **kwargs)


def _many(**whose: str) -> bool:
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    counted = AccessAttempt.objects.filter(attempt_time__gt=since, **whose).aggregate(sum=Sum("failures_since_start"))
    return bool((counted["sum"] or 0) >= CROWD * settings.AXES_FAILURE_LIMIT)


def is_without_password(request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
    """Single sign-on has its own guard at the provider: nothing can be guessed here."""
    return not (credentials or {}).get("username")


def locked_out(request: HttpRequest, answer: HttpResponse, credentials: dict[str, Any] | None = None) -> HttpResponse:
    """The page that says when to try again."""
    name = (credentials or {}).get("username") or ""
    address = request.META["REMOTE_ADDR"]
    tried = AccessAttempt.objects.filter(ip_address=address)
    if not _many(ip_address=address):
        tried = tried.filter(username=name)
    last = tried.order_by("-attempt_time").values_list("attempt_time", flat=True).first() or timezone.now()
    until = last + settings.AXES_COOLOFF_TIME
    seconds = max(1, ceil((until - timezone.now()).total_seconds()))
    context = {"name": name, "until": until, "minutes": ceil(seconds / 60), "failures": settings.AXES_FAILURE_LIMIT}
    page = render(request, "registration/locked.html", context, status=429)
    page.headers["Retry-After"] = str(seconds)
    return page
