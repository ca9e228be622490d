"""Who reads, and what they may learn of hosts: those of the instances that they see, and no others.

A rule leads from an instance that one sees to one that one may not. Why a tag failed there is told without where that
is: not the host of the instance, nor that of its storage, its proxy or its token server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from django.db.models import Model, QuerySet

from sync.models import Instance, SyncRule, SyncTask
from sync.models.reason import Reason, ReasonField, in_full, reader
from sync.oci.hosts import without_hosts
from sync.services.grants import Right, Somebody, instances_with, is_platform_administrator


class Reader:
    """Called with a text, it gives it as it may be read. sees: instances. in_full: whatever is read from now on."""

    def __init__(self, sees: QuerySet[Instance], *, in_full: bool = False) -> None:
        self._sees = sees
        self.in_full = in_full

    @classmethod
    def of(cls, user: Somebody) -> Self:
        return cls(instances_with(user, Right.VIEW), in_full=is_platform_administrator(user))

    @classmethod
    def of_rule(cls, rule: SyncRule) -> Self:
        """Who gets what the rule tells of itself: who saved it has chosen them."""
        if rule.by_platform:
            return cls(Instance.objects.all(), in_full=True)
        return cls(Instance.objects.none()) if rule.owner is None else cls.of(rule.owner)

    def __call__(self, text: str) -> str:
        return text if self.in_full else without_hosts(text, lambda host: host in self._hosts)

    def look_up(self) -> None:
        """Now what is looked up at need elsewhere: afterwards any thread may call."""
        if not self.in_full:
            _ = self._hosts, self._keys

    def sees(self, *sides: Instance | None) -> bool:
        """All of them; one that was deleted nobody but who reads everything."""
        return self.in_full or all(side is not None and side.pk in self._keys for side in sides)

    @cached_property
    def _keys(self) -> frozenset[int]:
        return frozenset(self._sees.values_list("pk", flat=True))

    @cached_property
    def _hosts(self) -> frozenset[str]:
        """Where the instances are that the reader sees, each with a port, where it has one, and without."""
        addresses = self._sees.values_list("url", "api_address", "proxy")
        urls = (urlsplit(one if "//" in one else f"//{one}") for row in addresses for one in row if one)
        return frozenset(
            host for url in urls for host in (url.netloc.rpartition("@")[2].lower(), url.hostname or "") if host
        )


@contextmanager
def read_by(somebody: Reader) -> Iterator[None]:
    """Meanwhile reasons come out of the database as they may be read."""
    before = reader.set(somebody)
    try:
        yield
    finally:
        reader.reset(before)


def told(text: str, rule: SyncRule | None = None) -> str:
    """What was not read from the database, as the answer of a registry just now; rule: between whose sides that was."""
    shown = reader.get()
    if isinstance(text, Reason) or shown is None:
        return text
    if rule is not None and isinstance(shown, Reader) and shown.sees(rule.source, rule.target):
        return text
    return shown(text)


def turn_to(task: SyncTask) -> None:
    """What is read from now on is about this task: who sees both of its sides reads all of it."""
    somebody = reader.get()
    if not isinstance(somebody, Reader) or not somebody.sees(task.source, task.target):
        return
    somebody.in_full = True
    for row in (task, task.source, task.target, task.rule):
        if row is not None:
            _fill(row)


def _fill(row: Model) -> None:
    for field in row._meta.concrete_fields:
        if isinstance(field, ReasonField) and (reason := row.__dict__.get(field.attname)):
            setattr(row, field.attname, in_full(reason))
