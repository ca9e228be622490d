"""For those who watch the console: is it alive, and can it do its work. They learn nothing else."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sync.services import health


@login_not_required
@require_safe
@never_cache
def alive(request: HttpRequest) -> JsonResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 when all that tasks need is there, else 503; the answer says what is missing.

    A pool without workers is told, and is no reason for 503: all other tasks go on.
    """
    parts = health.parts()
    is_ready = all(up for name, up in parts.items() if name != "pools")
    answer = {"status": "ok" if is_ready else "not ready"} | {
        name: "ok" if up else "away" for name, up in parts.items()
    }
    return JsonResponse(answer, status=200 if is_ready else 503)
