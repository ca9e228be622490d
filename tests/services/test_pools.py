"""Worker pools: whose workers execute what, and that somebody is told when there are none."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django_rq import get_connection
from rq import Queue, SimpleWorker

from sync import jobs, pools, queue
from sync.models import Instance, SyncRule, Trigger
from sync.services import grants, health, trigger
from sync.services.grants import Right
from tests.services.support import make_rule, open_here, task_with_rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


def waiting() -> dict[str, int]:
    """Jobs by queue, of those that have any."""
    return {one.name: one.count for one in Queue.all(connection=get_connection("default")) if one.count}


def give(rule: SyncRule, *, own: str = "", source: str = "", target: str = "") -> None:
    SyncRule.objects.filter(pk=rule.pk).update(pool=own)
    Instance.objects.filter(pk=rule.source_id).update(pool=source)
    Instance.objects.filter(pk=rule.target_id).update(pool=target)


def begin(*queues: str) -> None:
    SimpleWorker(list(queues), connection=get_connection("default")).register_birth()


@pytest.mark.parametrize(
    ("own", "source", "target", "expected"),
    [("", "", "", ""), ("", "", "eu", "eu"), ("", "cn", "eu", "cn"), ("us", "cn", "eu", "us")],
)
def test_the_rules_pool_wins_over_its_sources_and_that_over_its_targets(own, source, target, expected, rule):
    give(rule, own=own, source=source, target=target)
    task = open_here(rule)
    assert task.pool == expected
    assert trigger.queue_for(task) == (f"default:{expected}" if expected else "default")
    task.trigger = Trigger.PUSH
    assert trigger.queue_for(task) == (f"push:{expected}" if expected else "push")


def test_a_task_waits_in_the_queue_of_its_pool(rule, valkey, django_capture_on_commit_callbacks):
    give(rule, source="eu")
    with django_capture_on_commit_callbacks(execute=True):
        trigger.open_task(rule, Trigger.MANUAL)
        trigger.open_task(rule, Trigger.PUSH, selection=[("prod/web", "v1")])
    assert waiting() == {"default:eu": 1, "push:eu": 1}


def test_a_task_whose_pool_was_changed_goes_to_the_other_one(rule, valkey, monkeypatch):
    """At once by the sweep; and whoever finds the old job leaves the task to the workers that reach it."""
    monkeypatch.setattr(jobs, "close_old_connections", lambda: None)
    task = task_with_rows(rule, "prod/web", tags=["v1"])
    assert queue.enqueue_task(task.pk)
    give(rule, own="eu")
    jobs.sweep()
    assert waiting() == {"default": 1, "default:eu": 1}
    Queue("default:eu", connection=get_connection("default")).empty()
    SimpleWorker(["default"], connection=get_connection("default")).work(burst=True)
    assert waiting() == {"default:eu": 1}
    assert task.parts.filter(claim="").count() == 1


def test_what_a_worker_serves(settings):
    asked = ["control", "push", "default"]
    assert pools.served(asked) == asked
    settings.WORKER_POOLS = ["eu", "cn"]
    assert pools.served(asked) == ["control", "push", "push:eu", "push:cn", "default", "default:eu", "default:cn"]
    assert pools.served(["control", "push"]) == ["control", "push", "push:eu", "push:cn"]
    settings.WORKER_POOLS_ONLY = True
    assert pools.served(asked) == ["push:eu", "push:cn", "default:eu", "default:cn"]
    settings.WORKER_POOLS = []
    assert pools.served(asked) == asked


def test_a_worker_takes_the_pools_of_its_host_along(settings, valkey):
    settings.WORKER_POOLS = ["eu"]
    worker = queue.Worker(["control", "push", "default"], connection=get_connection("default"))
    worker.register_birth()
    assert worker.queue_names() == ["control", "push", "push:eu", "default", "default:eu"]
    assert queue.workers_by_pool() == {"": 1, "eu": 1}


def test_others_wait_only_where_this_worker_would_take_them(rule, valkey, monkeypatch):
    monkeypatch.setattr(queue.Worker, "serves", ("push:eu", "default:eu"))
    queue.enqueue_task(1, "default")
    assert not queue.others_wait(2)
    queue.enqueue_task(1, "default:eu")
    assert queue.others_wait(2)
    assert not queue.others_wait(1)


def test_it_is_said_for_whom_no_worker_runs(rule, valkey):
    give(rule, own="eu")
    assert health.staffing().missing(rule.source_id) == ["No worker is running; tasks will wait."]
    begin("control", "push", "default")
    assert health.staffing().missing(rule.source_id) == ["No worker of pool eu is running: tasks wait."]
    assert health.staffing().missing(rule.target_id) == [], "no rule starts there"
    begin("push:eu")
    assert health.staffing().missing(rule.source_id), "it takes pushes only"
    begin("push:eu", "default:eu")
    assert health.staffing().missing(rule.source_id) == []
    give(rule, target="cn")
    assert health.staffing().missing(rule.source_id) == ["No worker of pool cn is running: tasks wait."]


def test_pages_say_so(rule, valkey, admin_client):
    give(rule, own="eu")
    begin("control", "push", "default")
    cache.clear()
    page = admin_client.get(f"/i/{rule.source.name}/rules/").content.decode()
    assert "No worker of pool eu is running: tasks wait." in page
    assert "eu" in admin_client.get(f"/i/{rule.source.name}/rules/{rule.name}/").content.decode()


WARNING, OTHER = "No worker of pool eu is running: tasks wait.", "No worker of pool cn is running: tasks wait."


def test_the_pages_of_a_rule_and_its_tasks_tell_its_own_pool_alone(rule, valkey, admin_client):
    give(rule, own="eu")
    other = make_rule(rule.source, rule.target, name="other", source_namespace="x", pool="cn")
    begin("control", "push", "default")
    urls = [f"/i/{rule.source.name}/rules/{one.name}/" for one in (rule, other)]
    urls += [f"/i/{rule.source.name}/tasks/{open_here(one).pk}/" for one in (rule, other)]
    for url, mine, foreign in zip(urls, (WARNING, OTHER) * 2, (OTHER, WARNING) * 2, strict=True):
        page = admin_client.get(url).content.decode()
        assert mine in page and foreign not in page, url
    for url in (f"/i/{rule.source.name}/", f"/i/{rule.source.name}/rules/", "/instances/"):
        page = admin_client.get(url).content.decode()
        assert WARNING in page and OTHER in page, url
    for url in (f"/i/{rule.target.name}/", f"/i/{rule.target.name}/rules/", "/help/", "/access/"):
        page = admin_client.get(url).content.decode()
        assert WARNING not in page and OTHER not in page, url


def test_the_pool_of_an_instance_that_is_not_theirs_is_not_named(rule, valkey, client):
    give(rule, target="secret-pool")
    begin("control", "push", "default")
    ann = User.objects.create_user("ann")
    grants.grant(Right.VIEW, ann, rule.source)
    client.force_login(ann)
    for url in (f"/i/{rule.source.name}/rules/", f"/i/{rule.source.name}/rules/{rule.name}/", "/instances/"):
        page = client.get(url).content.decode()
        assert f"No worker that takes tasks to {rule.target.name} is running: they wait." in page
        assert "secret-pool" not in page
    grants.grant(Right.VIEW, ann, rule.target)
    cache.clear()
    assert "No worker of pool secret-pool" in client.get(f"/i/{rule.source.name}/rules/").content.decode()


def test_workers_of_a_pool_are_chosen_by_platform_administrators(rule):
    """They may stand where nobody else reaches."""
    ann, root = User.objects.create_user("ann"), User.objects.create_superuser("root")
    give(rule, source="cn", target="eu")
    rule = SyncRule.objects.get(pk=rule.pk)
    allowed = {}
    for pool in ("", "cn", "eu", "us"):
        rule.pool = pool
        allowed[pool] = not grants.pool_fault(ann, rule)
        assert not grants.pool_fault(root, rule)
    assert allowed == {"": True, "cn": True, "eu": False, "us": False}
    SyncRule.objects.filter(pk=rule.pk).update(pool="us")
    assert not grants.pool_fault(ann, rule), "it stays as it is"
    source = Instance.objects.get(pk=rule.source_id)
    assert not grants.pool_fault(ann, source)
    source.pool = "us"
    assert grants.pool_fault(ann, source)
