"""What an instance is called, in place of where it is, for who may not see it.

A rule leads from an instance that one sees to one that one may not: why a tag failed there is told without the name of
the machine. Done once for every answer, so that no page, log or download can forget it.
"""

from collections.abc import Callable, Iterator

from django.http import HttpRequest, HttpResponse

from sync import access
from sync.services.hosts import Conceal, concealing, hosts_unseen_by

View = Callable[[HttpRequest], HttpResponse]
TEXT = ("text/html", "text/plain", "application/json")


def conceal_hosts(get_response: View) -> View:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated or access.is_platform_administrator(user):
            return response
        if response.headers.get("Content-Type", "").startswith(TEXT):
            _conceal(response, concealing(hosts_unseen_by(user)))
        return response

    return middleware


def _conceal(response: HttpResponse, conceal: Conceal) -> None:
    if response.streaming:
        pieces: Iterator[bytes] = response.streaming_content  # type: ignore[attr-defined]
        response.streaming_content = (conceal(piece.decode()).encode() for piece in pieces)  # type: ignore[attr-defined]
    else:
        response.content = conceal(response.content.decode()).encode()
        if response.has_header("Content-Length"):
            response.headers["Content-Length"] = str(len(response.content))
