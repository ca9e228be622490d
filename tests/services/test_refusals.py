"""What registries refuse, as a task tells it: wrong credentials, tags that nobody may overwrite."""

import pytest

from sync.models import LogLine, Status, SyncTask, TaskResource
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import assert_sums_agree, reached_at, run
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def warnings(task: SyncTask) -> list[str]:
    return list(LogLine.objects.filter(task=task, level="warning").values_list("message", flat=True))


@pytest.fixture
def relay(rule, source):
    """The source, reached with a password."""
    with Relay(source) as relay:
        reached_at(rule.source, relay.url)
        rule.source.username, rule.source.password = "robot", "wrong"
        rule.source.save()
        yield relay


def test_a_wrong_password_is_told_though_what_is_public_is_copied(rule, relay, namespace, source):
    """The registry looks at it where it is asked for, and serves what is public to everybody (P-23)."""
    push(source, f"{namespace}/web", "v1", some_image())
    relay.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": "Basic realm=x"}))
    relay.script("GET", "/v2/_catalog", relay.forward)
    relay.script("GET", f"/v2/{namespace}/", relay.forward)
    task = run(rule)
    assert (task.status, task.copied) == (Status.SUCCEEDED, 1)
    (told,) = warnings(task)
    assert told.startswith("Source guangzhou: cannot reach the registry: the registry answered 401")
    assert "Check the user name and password of this instance" in told


def test_a_password_that_the_token_server_refuses_is_told_though_anybody_would_get_in(rule, relay, namespace, source):
    """As public repositories of Docker Hub answer to a wrong password (P-23)."""
    push(source, f"{namespace}/web", "v1", some_image())
    rule.repositories = "web"
    rule.save()

    def guard(request):
        if request.headers["Authorization"] == "Bearer anybodys":
            return relay.forward(request)
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{relay.url}/token"'})

    def deal(request):
        return Answer(401) if request.headers["Authorization"] else Answer(body=b'{"token":"anybodys"}')

    for method in ("GET", "HEAD"):
        relay.script(method, "/v2/", guard)
    relay.script("GET", "/token", deal)
    task = run(rule)
    assert (task.status, task.copied) == (Status.FAILED, 0)
    assert any("the token server refuses the credential" in told for told in warnings(task))
    assert "the token server refuses the credential" in task.repositories.get().reason
    rule.source.username = ""
    rule.source.save()
    task = run(rule)
    assert (task.status, task.copied, warnings(task)) == (Status.SUCCEEDED, 1, [])


def test_a_tag_that_nobody_may_overwrite_is_counted_apart_from_failures(rule, namespace, source, target):
    """P-66."""
    rule.overwrite = True
    rule.save()
    theirs, ours = (push(url, f"{namespace}/web", "v1", some_image()) for url in (target, source))
    push(source, f"{namespace}/web", "v2", some_image())
    with Relay(target) as relay:
        words = b'{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}'
        relay.script("PUT", f"/v2/{namespace}/web/manifests/v1", Answer(412, body=words))
        reached_at(rule.target, relay.url)
        task = run(rule)
    assert (task.status, task.planned, task.copied, task.conflict, task.failed) == (Status.SUCCEEDED, 2, 1, 1, 0)
    resource = TaskResource.objects.get(repository__task=task, outcome="conflict")
    assert (resource.digest, resource.target_digest, resource.http_status) == (ours.digest, theirs.digest, 412)
    assert "configured as immutable" in resource.reason
    (told,) = warnings(task)
    assert told.startswith(f"v1: left alone, the target has another digest, {theirs.digest}. Target frankfurt: cannot")
    assert "configured as immutable" in told
    assert task.repositories.get().reason == ""
    assert_sums_agree(task)
