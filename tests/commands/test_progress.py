"""Progress of several tasks: of each, and of all together."""

from io import StringIO

import pytest
from django.core.management import call_command
from rich import console as rich_console

from sync.management import progress
from tests.replication.support import push, some_image
from tests.services.support import make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    push(source, f"{namespace}-b/web", "v1", some_image())
    make_rule(rule.source, rule.target, name="second", source_namespace=f"{namespace}-b")


def test_without_a_terminal_a_line_for_each_task_says_how_many_have_ended(two, capfd):
    call_command("bulk_sync", "--all", "--foreground", stdout=StringIO())
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "Succeeded" in line] == [
        "everything: Succeeded, 1 of 1 resources, 0 failed (1 of 2 tasks)",
        "second: Succeeded, 1 of 1 resources, 0 failed (2 of 2 tasks)",
    ]


def test_one_task_needs_no_total(rule, namespace, source, capfd):
    push(source, f"{namespace}/web", "v1", some_image())
    call_command("bulk_sync", "--all", "--foreground", stdout=StringIO())
    assert "everything: Succeeded, 1 of 1 resources, 0 failed\n" in capfd.readouterr().err


def test_on_a_terminal_there_is_a_bar_for_all(two, monkeypatch):
    shown = StringIO()

    def on_a_terminal(**options):
        return rich_console.Console(file=shown, force_terminal=True, width=120)

    monkeypatch.setattr(progress, "Console", on_a_terminal)
    call_command("bulk_sync", "--all", "--foreground", stdout=StringIO())
    last = shown.getvalue().rpartition("In total")[2]
    assert "2 of 2 resources, 0 failed" in last
    assert "everything" in shown.getvalue() and "second" in shown.getvalue()
