"""What Django 5.2 does not see to by itself: security headers, and answers to HEAD without a body."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

STRICT = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# Pages of Django's admin and of django-rq carry inline script and style.
ADMIN = f"{STRICT}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"

View = Callable[[HttpRequest], HttpResponse]


def no_body_for_head(get_response: View) -> View:
    """Views answer HEAD as they answer GET, with a length and a body; the body is not sent, and servers complain."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.method == "HEAD":
            if response.streaming:
                response.streaming_content = ()  # type: ignore[attr-defined]
            else:
                response.headers.setdefault("Content-Length", str(len(response.content)))
                response.content = b""
        return response

    return middleware


def content_security_policy(get_response: View) -> View:
    """Everything from this host, no inline script or style; the admin alone may use inline ones."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        policy = ADMIN if request.path.startswith("/admin/") else STRICT
        response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware
