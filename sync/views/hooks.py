"""The receiver: registries tell here what was pushed. No session, no cookie, no page; every answer is a JSON object."""

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from sync.services import receive

log = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
def hook(request: HttpRequest, name: str) -> JsonResponse:
    """202: kept. 200: nothing in it is of interest. A refusal keeps nothing; of these, registries repeat 503."""
    if request.method != "POST":
        return _refused(405, "Notifications come by POST.", Allow="POST")
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        return _refused(403, "This console takes notifications by https only: change the address.")
    try:
        return _receive(request, name)
    except Error as error:
        log.warning("a notification for %r was not taken: the database failed: %s", name, error)
        return _refused(503, "The database does not answer: try again.", **{"Retry-After": "5"})


def _receive(request: HttpRequest, name: str) -> JsonResponse:
    """Whoever has no secret learns nothing, and nothing of theirs is read. Raises django.db.Error."""
    sender = receive.sender(name, request.headers.get("Authorization", ""))
    if sender is None:
        sentence = "Unknown instance, or wrong secret: its page says how to set up notifications."
        return _refused(401, sentence, **{"WWW-Authenticate": "Bearer"})
    body = _body(request)
    if isinstance(body, JsonResponse):
        return body
    try:
        told = receive.parse(body, request.headers.get("Ce-Type", ""))
    except receive.NotUnderstood as error:
        return _refused(400, str(error))
    receive.store(sender, told)
    return JsonResponse({"accepted": len(told)}, status=202 if told else 200)


def _body(request: HttpRequest) -> bytes | JsonResponse:
    """At most as much as the limit says is read of it."""
    most = settings.NOTIFICATION_LIMIT_BYTES
    too_large = f"A notification holds {most} bytes at most."
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > most:
        return _refused(413, too_large)
    # Without a length (chunked) Django takes the body for empty; gunicorn knows where it ends.
    chunked = request.META.get("wsgi.input_terminated") and not length
    stream = request.META["wsgi.input"] if chunked else request
    try:
        body: bytes = stream.read(most + 1)
    except (UnreadablePostError, OSError):
        return _refused(400, "The body broke off.")
    return _refused(413, too_large) if len(body) > most else body


def _refused(status: int, sentence: str, **headers: str) -> JsonResponse:
    return JsonResponse({"error": sentence}, status=status, headers=headers)
