"""To the provider and back; what goes wrong is told on a page."""

import logging
from datetime import timedelta
from typing import Any

import jwt
import requests
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views import View
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from sync.services.people import Refused
from tcrconsole.sso.provider import NotUnderstood, provider

log = logging.getLogger(__name__)
FAULTS = (Refused, NotUnderstood, SuspiciousOperation, jwt.PyJWTError, requests.RequestException, KeyError, ValueError)


class TellsFaults(View):
    """Before one of the library's views: not there without a provider, and what goes wrong is a page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _require_sso()
        try:
            return super().dispatch(request, *args, **kwargs)
        except FAULTS as fault:
            return _failed(request, fault)


class ToProvider(TellsFaults, OIDCAuthenticationRequestView):  # type: ignore[misc]
    """State, nonce and PKCE are the library's, and so is the check of where to go afterwards."""

    def __init__(self, **kwargs: Any) -> None:
        View.__init__(self, **kwargs)
        self.OIDC_RP_CLIENT_ID = settings.OIDC_RP_CLIENT_ID

    @property
    def OIDC_OP_AUTH_ENDPOINT(self) -> str:  # noqa: N802
        return provider().authorization


class FromProvider(TellsFaults, OIDCAuthenticationCallbackView):  # type: ignore[misc]
    def login_success(self) -> HttpResponse:
        """Whatever one does meanwhile, the provider is asked again after SESSION_SECONDS."""
        answer: HttpResponse = super().login_success()
        self.request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
        return answer

    def login_failure(self) -> HttpResponse:
        told = self.request.GET.get("error_description") or self.request.GET.get("error")
        said = f"The provider says: {told[:300]}." if told else "The provider's answer belongs to no attempt of yours."
        return _failed(self.request, Refused(said))


def _require_sso() -> None:
    if not settings.OIDC_ISSUER:
        raise Http404


def _failed(request: HttpRequest, fault: Exception) -> HttpResponse:
    """The log has the whole of it; the page has no words of an answer that may hold a secret."""
    log.warning("single sign-on failed: %s", fault if isinstance(fault, Refused) else repr(fault))
    away = isinstance(fault, requests.RequestException)
    return render(request, "registration/sso_failed.html", {"reason": _reason(fault)}, status=502 if away else 403)


def _reason(fault: Exception) -> str:
    if isinstance(fault, Refused | NotUnderstood):
        return str(fault)
    if isinstance(fault, requests.HTTPError) and fault.response is not None:
        return f"The provider refused what this console asked (HTTP status {fault.response.status_code})."
    if isinstance(fault, requests.RequestException):
        return "The provider cannot be reached, or did not answer in time."
    if isinstance(fault, SuspiciousOperation):
        return "This answer of the provider belongs to no attempt of yours, or was used already."
    return f"What the provider sent cannot be trusted ({type(fault).__name__})."
