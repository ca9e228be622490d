"""Tokens for pipelines, as tests need them."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sync.models import ApiToken, Instance
from sync.services import tokens


def make_token(instance: Instance, maker: User, role: str = "operate_instance", **fields: Any) -> tuple[ApiToken, str]:
    """The token, and what is shown of it."""
    kept = {"name": "ci", "expires_at": timezone.now() + timedelta(days=90), **fields}
    token = ApiToken(instance=instance, maker=maker, role=role, **kept)
    return token, tokens.make(token)


class Pipeline:
    """Asks the API with a token, as curl does: without cookies."""

    def __init__(self, secret: str) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, **query: str) -> Any:
        return self.client.get(f"/api/{path}", query, headers=self.headers)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(f"/api/{path}", body, content_type="application/json", headers=self.headers)
