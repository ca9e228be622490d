from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sync.management.acting import os_user
from sync.models import AuditEntry, Instance

pytestmark = pytest.mark.django_db

FILE = 'instances: [{name: a, region: eu, url: "https://a.example"}]\n'


def test_what_was_done_is_told(tmp_path):
    path = tmp_path / "rules.yaml"
    for text, told in (
        (FILE, "created a (eu)\n1 created, 0 changed, 0 as they were.\n"),
        (FILE, "0 created, 0 changed, 1 as they were.\n"),
        (FILE.replace("eu", "us"), "changed a (us)\n0 created, 1 changed, 0 as they were.\n"),
    ):
        path.write_text(text)
        out = StringIO()
        call_command("load_rules", path, stdout=out)
        assert out.getvalue() == told
    noted = AuditEntry.objects.order_by("pk").values_list("actor_name", "verb", "object_repr")
    assert list(noted) == [(os_user(), "created", "a (eu)"), (os_user(), "changed", "a (us)")]


def test_a_dash_reads_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(FILE))
    call_command("load_rules", "-", stdout=StringIO())
    assert Instance.objects.get().name == "a"
    monkeypatch.setattr("sys.stdin", StringIO(FILE.replace("region", "regoin")))
    with pytest.raises(CommandError, match="-, line 1: “regoin” is not known here"):
        call_command("load_rules", "-", stdout=StringIO())


def test_a_refused_file_names_file_and_line(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(FILE + "\nrules: 5\n")
    with pytest.raises(CommandError) as refused:
        call_command("load_rules", path)
    assert refused.value.returncode == 1
    assert str(refused.value) == f"{path}, line 3: “rules” must be a list\nNothing was changed."
    assert not Instance.objects.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read(content, tmp_path):
    path = tmp_path / "rules.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(CommandError, match="cannot be read") as refused:
        call_command("load_rules", path)
    assert refused.value.returncode == 2


def test_a_diff_tells_by_its_status_whether_there_is_one(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(FILE)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("load_rules", path, "--diff", stdout=out)
    assert (ended.value.code, out.getvalue(), Instance.objects.exists()) == (1, "+ instance a\n", False)
    call_command("load_rules", path, stdout=StringIO())
    out = StringIO()
    call_command("load_rules", path, "--diff", stdout=out)
    assert out.getvalue() == ""
    path.write_text(FILE.replace("region", "regoin"))
    with pytest.raises(CommandError, match=r"line 1: “regoin” is not known here(.|\n)*Nothing was changed") as refused:
        call_command("load_rules", path, "--diff")
    assert refused.value.returncode == 2


def test_pruning_tells_what_went(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(FILE)
    call_command("load_rules", path, stdout=StringIO())
    path.write_text(f"{FILE.replace('name: a', 'name: b')}rules: []\n")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("load_rules", path, "--prune", "--diff", stdout=out)
    assert (ended.value.code, out.getvalue()) == (1, "+ instance b\n- instance a\n")
    out = StringIO()
    call_command("load_rules", path, "--prune", stdout=out)
    assert out.getvalue() == "created b (eu)\ndeleted a (eu)\n1 created, 0 changed, 1 deleted, 0 as they were.\n"


def test_a_kept_password_is_told_beside_the_result(tmp_path, monkeypatch):
    path = tmp_path / "rules.yaml"
    path.write_text(FILE.replace("{name", "{password_env: A_PASSWORD, name"))
    monkeypatch.setenv("A_PASSWORD", "secret")
    call_command("load_rules", path, stdout=StringIO())
    monkeypatch.delenv("A_PASSWORD")
    out, notes = StringIO(), StringIO()
    call_command("load_rules", path, "--diff", stdout=out, stderr=notes)
    assert (out.getvalue(), notes.getvalue()) == ("", "a: password kept, the environment has no variable A_PASSWORD.\n")
