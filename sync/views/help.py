"""The words of the console, and what to do when something is wrong: a page for everybody who is signed in."""

from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sync.models import Status, Trigger
from sync.replication.events import Outcome
from sync.views.http import Request
from sync.views.preferences import SHORTCUTS

STATUSES: Final = {
    Status.WAITING: "For a worker, for an instance that does not answer (then it goes on by itself), or for an answer.",
    Status.SYNCHRONIZING: "Under way.",
    Status.SUCCEEDED: "Nothing failed. Conflicts are counted beside it.",
    Status.PARTIAL: "Something arrived, something did not.",
    Status.FAILED: "Nothing arrived as the rule promises.",
    Status.STOPPED: "By a person, or because the rule was deleted. What had arrived stays.",
}
OUTCOMES: Final = {
    Outcome.COPIED: "Brought to the target, byte for byte.",
    Outcome.UNCHANGED: "The target had the same digest already.",
    Outcome.CONFLICT: "The target has another digest under the tag, and the rule does not overwrite.",
    Outcome.SUPERSEDED: "A newer push to the target won: the older one leaves it alone.",
    Outcome.FAILED: "Not brought; the page of the task tells why.",
    Outcome.REMOVED: "Gone from the source, and deleted in the target because the rule asks for it.",
}
TRIGGERS: Final = {
    Trigger.PUSH: "The source tells the console of an image that matches.",
    Trigger.SCHEDULE: "The times that the rule names.",
    Trigger.MANUAL: "Somebody pressed Sync: everything that matches.",
    Trigger.COMMAND: "bulk_sync, from a shell.",
    Trigger.RETRY: "Retry failed, on the page of a task: only what failed.",
}


@require_safe
def help_page(request: Request) -> HttpResponse:
    context = {"statuses": STATUSES, "outcomes": OUTCOMES, "triggers": TRIGGERS, "keys": SHORTCUTS}
    return render(request, "help.html", context)
