"""Who comes in to the API: whoever shows a token. No session, no cookie, no page; every answer is a JSON object."""

import json
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import RequestDataTooBig
from django.db import Error
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from sync.access import Right
from sync.models import ApiToken, Instance
from sync.services import tokens
from sync.services.audit import Caller, on_behalf_of
from sync.services.reading import Reader, read_by

log = logging.getLogger(__name__)

NOT_LET_IN = (
    "Show a token as “Authorization: Bearer TOKEN”. This one is missing, unknown, expired or revoked, "
    "or who made it lost the role: make another on the page of the instance, under Tokens."
)
NOT_FOUND = "There is nothing of this name or number for this token: it sees one instance."


class Refused(Exception):
    """field: of the body or the query, which of them is wrong."""

    def __init__(self, status: int, sentence: str, field: str = "", **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.field, self.headers = status, field, headers

    @property
    def answer(self) -> JsonResponse:
        told = {"error": str(self)} | ({"field": self.field} if self.field else {})
        return JsonResponse(told, status=self.status, headers=self.headers)


View = Callable[..., JsonResponse]


def opened(*methods: str, right: Right = Right.VIEW) -> Callable[[View], View]:
    """For a view of the API: it is called with the token of who asks, and may raise Refused and Http404."""

    def decorate(view: View) -> View:
        @never_cache
        @csrf_exempt
        @login_not_required
        @wraps(view)
        def door(request: HttpRequest, **named: Any) -> JsonResponse:
            try:
                token = _let_in(request, methods, right)
                reader = Reader(Instance.objects.filter(pk=token.instance_id))
                caller = Caller(user=token.maker, by=f"token {token}", address=request.META["REMOTE_ADDR"])
                with on_behalf_of(caller), read_by(reader):
                    return view(request, token, **named)
            except Refused as refusal:
                return refusal.answer
            except Http404:
                return Refused(404, NOT_FOUND).answer
            except Error as error:
                log.warning("the API could not answer: the database failed: %s", error)
                return Refused(503, "The database does not answer: try again.", **{"Retry-After": "5"}).answer

        return door

    return decorate


def _let_in(request: HttpRequest, methods: tuple[str, ...], right: Right) -> ApiToken:
    """The token, of which the use is noted; from here on its maker is who asks. Raises Refused."""
    request.user = AnonymousUser()  # whatever cookies say
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise Refused(403, "This console takes tokens by https only: change the address, and make another token.")
    token = tokens.shown_in(request.headers.get("Authorization", ""))
    if token is None:
        raise Refused(401, NOT_LET_IN, **{"WWW-Authenticate": "Bearer"})
    request.user = token.maker
    if seconds := tokens.wait_before(token):
        most = settings.API_REQUESTS_PER_MINUTE
        sentence = f"A token may make {most} requests a minute: go on in {seconds} s."
        raise Refused(429, sentence, **{"Retry-After": str(seconds)})
    tokens.note_use(token)
    if request.method not in methods:
        raise Refused(405, f"This takes {' and '.join(methods)}.", Allow=", ".join(methods))
    if right not in tokens.rights_of(token):
        raise Refused(403, f"The token {token} is a {token.get_role_display()}: this needs an {right.role}.")
    return token


def body_of(request: HttpRequest) -> dict[str, Any]:
    """The JSON object that was sent. Raises Refused."""
    try:
        body = json.loads(request.body)
    except RequestDataTooBig:
        raise Refused(413, "That is too long: name fewer resources.") from None
    except UnreadablePostError:
        raise Refused(400, "The body broke off.") from None
    except (ValueError, RecursionError):
        raise Refused(422, "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise Refused(422, "The body is no JSON object.")
    return body
