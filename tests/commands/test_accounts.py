"""Accounts that are made and mended on the command line: the audit says who was at it."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from sync.management.acting import os_user
from sync.models import AuditEntry
from sync.models.audit import Caller, on_behalf_of

pytestmark = pytest.mark.django_db


def done() -> tuple[str, str, str]:
    entry = AuditEntry.objects.latest("pk")
    return entry.actor_name, entry.verb, entry.object_repr


def test_the_first_administrator(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery")
    words = ["--noinput", "--username", "root", "--email", "root@console.example"]
    call_command("createsuperuser", *words, stdout=StringIO())
    assert User.objects.get().is_superuser
    assert done() == (os_user(), "created", "root")


def test_a_new_password(monkeypatch):
    User.objects.create_user("ann", password="before")
    module = "django.contrib.auth.management.commands.changepassword"
    monkeypatch.setattr(f"{module}.getpass.getpass", lambda **_: "correct horse battery")
    call_command("changepassword", "ann", stdout=StringIO())
    assert User.objects.get().check_password("correct horse battery")
    assert done() == (os_user(), "changed", "ann")


def test_who_has_too_long_a_name_is_told_as_far_as_there_is_room():
    with on_behalf_of(Caller(name=f"root as {'x' * 150}")):
        User.objects.create_user("ann")
    assert len(done()[0]) == 150
