"""What commands that follow tasks tell while they wait, and to whom nobody listens any more."""

import pytest

from tests.commands.support import told
from tests.replication.support import push, some_image
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def test_why_a_task_waits_is_told_once_for_each_reason(console, source, target, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    with Relay(target) as gone:
        pass
    console.load(source, gone.url, namespace)
    with console.workers():
        done = console.manage("bulk_sync", "--rule", namespace, "--wait", "--json", "--timeout", "8")
        assert (done.returncode, told(done.stdout)["status"]) == (4, "synchronizing"), done.stderr
        lines = [line for line in done.stderr.splitlines() if "waiting for" in line]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(f"{namespace}: waiting for target: Target target: cannot reach")
        assert "; next try in " in lines[0]
    # There is no scheduler to go on with it when the address is mended: it is gone on with here.
    console.load(source, target, namespace)
    again = console.manage("bulk_sync", "--rule", namespace, "--foreground", "--json", "--timeout", "60")
    assert (again.returncode, told(again.stdout)["id"]) == (0, told(done.stdout)["id"]), again.stderr
    assert (told(again.stdout)["copied"], "waiting for" in again.stderr) == (1, False)


@pytest.mark.any_database
@pytest.mark.parametrize("how", [["--foreground"], ["--foreground", "--json"], ["--dry-run"], ["--dry-run", "--json"]])
def test_a_reader_that_leaves_early_is_no_fault(how, console, source, target, namespace):
    """As `bulk_sync | head` may."""
    push(source, f"{namespace}/web", "v1", some_image())
    console.load(source, target, namespace)
    with console.begun("bulk_sync", "--rule", namespace, *how) as process:
        process.stdout.close()
        assert process.wait(30) == 0
        told_besides = process.stderr.read()
    assert "Traceback" not in told_besides and "BrokenPipe" not in told_besides
