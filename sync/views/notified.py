"""What the page of an instance tells of its notifications: when they came, and how the registry is set up."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from sync import access
from sync.models import Instance
from sync.services import kinds, receive

PLACEHOLDER = "PUT-THE-SECRET-HERE"


@dataclass(frozen=True)
class Notified:
    """url: where the registry sends to, by the address under which the reader has the console. secret: just made.

    receivers: the texts for setting it up, by their templates. state: what `receive.make_secret` wants to know. more:
    more are waiting than are counted. by_itself: its kind can tell of pushes in a form that is understood.
    """

    url: str
    secret: str
    state: str
    waiting: int
    may_change: bool
    receivers: list[str]
    by_itself: bool

    @property
    def written(self) -> str:
        """As it stands in what is to be copied."""
        return self.secret or PLACEHOLDER

    @property
    def more(self) -> bool:
        return self.waiting >= receive.WAITING_COUNTED


def address(request: HttpRequest, instance: Instance) -> str:
    """Where the registry sends to."""
    return request.build_absolute_uri(reverse("hook", args=[instance.name]))


def of(request: HttpRequest, instance: Instance, secret: str = "") -> Notified:
    return Notified(
        url=address(request, instance),
        secret=secret,
        state=receive.state_of(instance),
        waiting=receive.waiting(instance),
        may_change=access.Right.ADMINISTER in access.rights_on(request.user, instance),
        receivers=[f"instances/receivers/{name}.html" for name in kinds.receivers_of(instance)],
        by_itself=kinds.notifies(instance),
    )
