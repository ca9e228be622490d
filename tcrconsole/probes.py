"""Whoever restarts processes or watches them asks by address, by plain http and without a name: that is answered."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from sync.views import health

VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {"/healthz": health.alive, "/readyz": health.ready}
View = Callable[[HttpRequest], HttpResponse]


def answer_probes(get_response: View) -> View:
    """Before host names, https and sign-in are looked at: an answer of a word holds nothing to be kept."""

    def middleware(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path_info)
        if view is None:
            return get_response(request)
        response = view(request)
        response.headers["Content-Length"] = str(len(response.content))
        return response

    return middleware
