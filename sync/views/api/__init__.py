"""For pipelines: starts rules, tells of tasks, and where something is. docs/api.md describes it."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from sync.access import Right
from sync.models import ApiToken, Instance, SyncRule, SyncTask
from sync.services import bulk, locate
from sync.views.api import shapes
from sync.views.api.door import Refused, body_of, opened

MOST_RULES, MOST_RESOURCES = 100, 2000
KNOWN = ("rule", "instance", "resources", "quick")


@opened("POST", right=Right.OPERATE)
def sync(request: HttpRequest, token: ApiToken, /) -> JsonResponse:
    """202: the tasks are queued. One that waits or runs already over everything is told, and no other opened."""
    body = body_of(request)
    orders, held = bulk.part(_orders(body, token))
    if not orders:
        raise Refused(409, bulk.refusal(held), "rule")
    try:
        opened = bulk.start(orders, f"token {token}", quick=_flag(body, "quick"), enqueue=True)
    except SyncRule.DoesNotExist:
        raise Refused(404, "A rule was deleted a moment ago.", "rule") from None
    tasks = [
        {
            "id": one.task.pk,
            "rule": str(order.rule),
            "url": shapes.url_of(request, one.task),
            "created": one.created,
        }
        for order, one in zip(orders, opened, strict=True)
    ]
    suspended = [{"rule": str(one.rule), "reason": one.reason} for one in held]
    return JsonResponse({"tasks": tasks} | ({"suspended": suspended} if suspended else {}), status=202)


def _orders(body: dict[str, Any], token: ApiToken) -> Sequence[bulk.Order]:
    """Raises Refused."""
    for field in body:
        if field not in KNOWN:
            raise Refused(422, f"“{field}” is not known here; there are {', '.join(KNOWN)}.", field)
    _flag(body, "quick")
    rules = _words(body, "rule", MOST_RULES)
    resources = _words(body, "resources", MOST_RESOURCES)
    instance = body.get("instance", token.instance.name)
    if not isinstance(instance, str):
        raise Refused(422, "“instance” is a name.", "instance")
    if not rules and "instance" not in body:
        raise Refused(422, "Say which rules: “rule” names one or several, “instance” alone means all enabled.", "rule")
    mine = Instance.objects.filter(pk=token.instance_id)
    try:
        return bulk.choose(rules, instance, False, resources, seen=mine)
    except bulk.WrongUse as error:
        raise Refused(404 if error.unknown else 422, str(error), error.field) from None


def _words(body: dict[str, Any], field: str, most: int) -> list[str]:
    """A word, or several. Raises Refused."""
    given = body.get(field, [])
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not all(isinstance(word, str) and word.isprintable() for word in words):
        raise Refused(422, f"“{field}” is a text, or a list of them.", field)
    if len(words) > most:
        raise Refused(422, f"“{field}” takes {most} at most: send the others in another request.", field)
    return words


def _flag(body: dict[str, Any], field: str) -> bool:
    """Raises Refused."""
    given = body.get(field, False)
    if not isinstance(given, bool):
        raise Refused(422, f"“{field}” is true or false.", field)
    return given


@opened("GET", "HEAD")
def task(request: HttpRequest, token: ApiToken, /, task_id: int) -> JsonResponse:
    tasks = SyncTask.objects.select_related("rule", "source", "target").filter(source=token.instance)
    if task_id.bit_length() > 63:
        raise Http404
    return JsonResponse(shapes.task(request, get_object_or_404(tasks, pk=task_id)))


@opened("GET", "HEAD")
def where(request: HttpRequest, token: ApiToken, /) -> JsonResponse:
    """Asks the instance of the token; of targets it tells what rules have brought there."""
    ref = request.GET.get("ref", "").strip()
    if not ref:
        raise Refused(422, "Say what is looked for: ?ref=prod/web:1.2", "ref")
    try:
        found = locate.find(ref, [token.instance])
    except locate.InvalidReference as error:
        raise Refused(422, str(error), "ref") from None
    return JsonResponse(shapes.answer(request, found, token.instance))


@opened("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
def nothing(request: HttpRequest, token: ApiToken, /, rest: str) -> JsonResponse:
    raise Refused(404, "There is /api/sync, /api/tasks/ID and /api/where, each without a slash at the end.")
