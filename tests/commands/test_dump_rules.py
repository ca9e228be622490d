from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sync.models import Instance
from tests.services.support import make_instance

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _instances() -> None:
    for name in ("one", "two"):
        make_instance(name, f"https://{name}.example")


def dumped(*words: str) -> str:
    out = StringIO()
    call_command("dump_rules", *words, stdout=out)
    return out.getvalue()


def test_what_is_printed_can_be_loaded(monkeypatch):
    text = dumped()
    Instance.objects.all().delete()
    monkeypatch.setattr("sys.stdin", StringIO(text))
    call_command("load_rules", "-", stdout=StringIO())
    assert [instance.name for instance in Instance.objects.all()] == ["one", "two"]
    assert dumped() == text


def test_instances_can_be_chosen():
    assert "name: one" not in dumped("--instance", "two")
    assert "name: one" in dumped("--instance", "two", "--instance", "one")
    with pytest.raises(CommandError, match="There is no instance “three”") as refused:
        dumped("--instance", "three")
    assert refused.value.returncode == 2


def test_into_a_file(tmp_path):
    assert dumped("--output", str(tmp_path / "rules.yaml")) == ""
    assert (tmp_path / "rules.yaml").read_text(encoding="utf-8") == dumped()
    with pytest.raises(CommandError, match=f"{tmp_path} cannot be written: Is a directory") as refused:
        dumped("--output", str(tmp_path))
    assert refused.value.returncode == 2
