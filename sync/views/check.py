"""Check of a rule: in what its target differs from its source. Each request takes one step, and nothing is changed.

How far a check has come stands in the URL of its next step, signed: what a page says was found, was found.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from django.core import signing
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from sync import access
from sync.models import OPEN, SyncRule, SyncTask
from sync.services import drift
from sync.views.http import Request, is_for, page_or_fragment, wants_fragment
from sync.views.layout import enter_instance

# A step follows the one before within this time: what was found long ago may not be so any more.
CONTINUED_SECONDS = 3600
# Progress is told aloud each half minute or so, not with each step.
ANNOUNCED_STEPS = 8


@require_safe
@page_or_fragment
def rule_check(request: Request, instance: str, name: str) -> HttpResponse:
    """`?run` begins a check, `?at` goes on with one, `?at&stop` rests there. Without them: what a check does."""
    enter_instance(request, instance)
    rule = access.get_rule_or_404(request.user, instance, name)
    access.require_sight_of_target(request.user, rule)
    context = {"instance": rule.source, "rule": rule, "most_listed": drift.MOST_LISTED, **_take_step(request, rule)}
    if is_for(request, "check-step"):
        return render(request, "rules/_check_step.html", {**context, "alone": True})
    if wants_fragment(request):
        return render(request, "rules/_check.html", context)
    running = SyncTask.objects.filter(rule=rule, status__in=OPEN).values_list("pk", flat=True).first()
    return render(request, "rules/check.html", {**context, "running": running})


def _take_step(request: Request, rule: SyncRule) -> dict[str, Any]:
    """What the templates show: the step that was taken, if one was asked for, and where the next one begins."""
    at = request.GET.get("at")
    if at is None and "run" not in request.GET:
        return {}
    progress = drift.begin() if at is None else _read(at, rule)
    if progress is None:
        return {"refused": True}
    stopped = "stop" in request.GET
    step = drift.Step(progress) if stopped else drift.go_on(rule, progress)
    here = reverse("rule-check", args=[rule.source.name, rule.name], query={"at": _write(step.progress, rule)})
    now_and_then = step.progress.steps % ANNOUNCED_STEPS == 0 and not step.crowded
    announced = stopped or step.problem or step.progress.is_done or now_and_then
    return {"step": step, "progress": step.progress, "stopped": stopped, "here": here, "announced": announced}


def _salt(rule: SyncRule) -> str:
    """Another one as soon as the rule, or where its instances are, is changed: a check is over one state of a rule."""
    kept = [rule.pk, rule.snapshot(), rule.source.url, rule.target_id, rule.target.url]
    return f"check {hashlib.sha256(json.dumps(kept).encode()).hexdigest()}"


def _write(progress: drift.Progress, rule: SyncRule) -> str:
    return signing.dumps(asdict(progress), salt=_salt(rule), compress=True)


def _read(text: str, rule: SyncRule) -> drift.Progress | None:
    """None where a check cannot be gone on with: the rule was changed, too much time has passed, or it is no cursor."""
    try:
        kept = signing.loads(text, salt=_salt(rule), max_age=CONTINUED_SECONDS)
        return drift.Progress(**{**kept, "stage": drift.Stage(kept["stage"])})
    except (signing.BadSignature, TypeError, KeyError, ValueError):
        return None
