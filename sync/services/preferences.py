"""How each user wants the console: theme and keyboard shortcuts.

Stored with the user, and while somebody is signed in kept in the session, so that no page asks the database for them.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from sync.models import Preference

SESSION_KEY = "preferences"
Session = MutableMapping[str, Any]


def kept_in(session: Session) -> dict[str, Any]:
    """`theme` and `shortcuts` of who is signed in; the defaults in a session that is older than preferences."""
    return session.get(SESSION_KEY) or _fields(Preference())


def choose(user: User, session: Session, chosen: Mapping[str, str]) -> dict[str, Any]:
    """Saves what is chosen by its field, and returns all; what makes no sense is left as it was."""
    changes: dict[str, Any] = {}
    if chosen.get("theme") in Preference.Theme.values:
        changes["theme"] = chosen["theme"]
    if chosen.get("shortcuts") in ("true", "false"):
        changes["shortcuts"] = chosen["shortcuts"] == "true"
    preference, _ = Preference.objects.update_or_create(user=user, defaults=changes)
    session[SESSION_KEY] = _fields(preference)
    return _fields(preference)


@receiver(user_logged_in)
def take_along(sender: object, request: HttpRequest, user: User, **_: object) -> None:
    request.session[SESSION_KEY] = _fields(Preference.objects.filter(user=user).first() or Preference())


def _fields(preference: Preference) -> dict[str, Any]:
    return {"theme": preference.theme, "shortcuts": preference.shortcuts}
