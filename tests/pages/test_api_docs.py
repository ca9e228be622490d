"""What docs/api.md says is tried as it stands there, against a console that is running."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from sync.models import Delivery, Instance, Status, SyncRule, SyncTask
from sync.services import bulk
from sync.views.api import KNOWN
from tests import parts
from tests.fakes.lists import HELD
from tests.fakes.registry import Answer, FakeRegistry
from tests.pages.tokens import make_token

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture(autouse=True)
def _programs() -> None:
    for name in ("curl", "jq"):
        parts.require(name)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.script("HEAD", "/v2/prod/web/nginx/manifests/", Answer(headers=HELD))
        registry.script("GET", "/v2/prod/web/nginx/manifests/", Answer(headers=HELD, body=b"{}"))
        yield registry


@pytest.fixture
def variables(live_server: Any, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of a console with the rule of the examples, whose tasks end at once."""
    source, target = (
        Instance.objects.create(name=name, region=name, url=registry.url) for name in ("guangzhou", "frankfurt")
    )
    rule = SyncRule.objects.create(name="prod-to-frankfurt", source=source, source_namespace="prod", target=target)
    Delivery.objects.create(
        rule=rule, target=target, repository="prod/web/nginx", tag="v1.2.3", digest=HELD["Docker-Content-Digest"]
    )
    _, secret = make_token(source, User.objects.create_superuser("root"))
    start = bulk.start

    def end_at_once(*asked: Any, **how: Any) -> list[Any]:
        opened = start(*asked, **how)
        SyncTask.objects.update(status=Status.SUCCEEDED)
        return opened

    monkeypatch.setattr(bulk, "start", end_at_once)
    return {"CONSOLE": live_server.url, "TOKEN": secret}


def run(example: str, variables: dict[str, str]) -> Any:
    lines = ["set -e", *(f"{name}={value}" for name, value in variables.items()), EXAMPLES[example]]
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_the_examples(variables):
    (task,) = run("Start rules", variables)["tasks"]
    assert task["rule"] == "guangzhou/prod-to-frankfurt" and task["created"]
    told = run("Follow a task", variables | {"TASK": str(task["id"])})
    assert told["ended"] and told["status"] == "succeeded"
    missing = [name for name in told if f"`{name}`" not in TEXT]
    # What bulk_sync tells as well, and what needs no word.
    elsewhere = ["id", "rule", "check", "repositories", "seconds", "url", "target", "all_planned", "trigger", "actor"]
    assert not set(missing) - set(elsewhere)
    told = run("Where is it?", variables)
    (rule,), (instance,) = told["rules"], told["instances"]
    assert (instance["state"], rule["brought"]) == ("There", instance["digest"])
    assert run("Wait for a copy", variables) is True


def test_every_field_is_described():
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == list(KNOWN)
    assert EXAMPLES.keys() >= {"Start rules", "Follow a task", "Where is it?", "Wait for a copy"}
