"""TCR Enterprise as an instance of the console: from its rule file to a task."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from sync.models import Instance, LogLine, SyncRule, TaskResource
from sync.services import connect, turn
from sync.services.rulefile import load_rules
from tests.fakes.tcr import REGION, REGISTRY_ID, SECRET_ID, SECRET_KEY
from tests.kinds.tcr_stage import TcrStage
from tests.replication.support import push, some_image
from tests.services.support import run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


@pytest.fixture
def stage() -> Iterator[TcrStage]:
    cache.clear()
    turn.kept_in_target.cache_clear()
    with TcrStage() as stage:
        yield stage


@pytest.fixture
def rule(stage, source, namespace, monkeypatch) -> SyncRule:
    monkeypatch.setenv("TCR_TOKEN", "token")
    monkeypatch.setenv("TCR_KEY", SECRET_KEY)
    load_rules(f"""
instances:
  - {{name: plain, region: Frankfurt, url: "{source}"}}
  - name: guangzhou
    region: Guangzhou
    kind: tcr
    url: {stage.fake.url}
    username: robot
    password_env: TCR_TOKEN
    registry_id: {REGISTRY_ID}
    api_region: {REGION}
    api_address: {stage.fake.api}
    api_key_id: {SECRET_ID}
    api_key_env: TCR_KEY
rules:
  - name: there
    source: {{instance: plain, namespace: {namespace}}}
    target: {{instance: guangzhou, namespace: made}}
""")
    return SyncRule.objects.get()


def test_a_task_makes_the_namespace(rule, stage, source, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    task = run(rule)
    assert (task.copied, task.failed) == (1, 0)
    assert stage.fake.namespaces == {"made": False}


def test_a_refused_key_is_told_without_it(rule, stage, source, namespace):
    push(source, f"{namespace}/web", "v1", some_image())
    stage.fake.refuse("CreateNamespace", "AuthFailure.SignatureFailure", message=f"not {SECRET_KEY}", always=True)
    task = run(rule)
    assert (task.copied, task.failed) == (0, 1)
    told = str(list(TaskResource.objects.values())) + str(list(LogLine.objects.values()))
    assert "Compare SecretId and SecretKey" in told
    assert SECRET_KEY not in told


def test_its_namespaces_are_listed(rule, stage):
    stage.add("prod/web", "v1", "a")
    stage.fake.namespaces["empty"] = True
    assert connect.namespaces(Instance.objects.get(name="guangzhou")).counts == {"empty": 0, "prod": 1}


def test_a_person_is_told_soon_which_right_is_missing(rule, stage):
    stage.fake.refuse("DescribeNamespaces", "UnauthorizedOperation", always=True)
    assert "tcr:DescribeNamespaces" in connect.namespaces(Instance.objects.get(name="guangzhou")).problem
    assert stage.fake.asked["DescribeNamespaces"] == 1
