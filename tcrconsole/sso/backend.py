"""From the provider's code to a user. Permissions are those of Django's own backend, from which this one inherits."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from sync.services import audit, people
from tcrconsole.sso.provider import NotUnderstood, provider, verified

ACTOR = "single sign-on"


class SingleSignOn(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Exchanges the code as the library does. The provider is asked for only when somebody comes."""

    def __init__(self) -> None:
        self.UserModel = get_user_model()
        self.OIDC_RP_CLIENT_ID = self.get_settings("OIDC_RP_CLIENT_ID")
        self.OIDC_RP_CLIENT_SECRET = self.get_settings("OIDC_RP_CLIENT_SECRET")

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        if attr == "OIDC_TOKEN_USE_BASIC_AUTH":
            return provider().basic
        return OIDCAuthenticationBackend.get_settings(attr, *args)

    @property
    def OIDC_OP_TOKEN_ENDPOINT(self) -> str:  # noqa: N802
        return provider().token

    @property
    def OIDC_OP_USER_ENDPOINT(self) -> str:  # noqa: N802
        return provider().userinfo

    def authenticate(self, request: HttpRequest, nonce: str = "", code_verifier: str = "") -> User | None:
        """Only what came back from the provider to an attempt of this browser: never the fields of a form."""
        if not nonce or not code_verifier:
            return None
        found: User | None = super().authenticate(request, nonce=nonce, code_verifier=code_verifier)
        return found

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        told = super().get_token(payload)
        if not isinstance(told, dict) or not isinstance(told.get("id_token"), str):
            raise NotUnderstood("The provider gave no ID token: is “openid” among OIDC_SCOPES?")
        return told

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        return verified(token, str(kwargs.get("nonce") or ""))

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> User:
        """What the ID token says counts; the user information adds to it, if it is of the same person."""
        more = self.get_userinfo(access_token, id_token, payload) if provider().userinfo else {}
        if not isinstance(more, dict) or (more and more.get("sub") != payload["sub"]):
            raise NotUnderstood("The provider's user information is about somebody else.")
        with audit.on_behalf_of(audit.Caller(name=ACTOR, address=self.request.META["REMOTE_ADDR"])):
            return people.come_in(payload["iss"], {**more, **payload})
