"""What registries refuse, as a task tells it: wrong credentials, tags that nobody may overwrite."""

import json

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
    assert told.startswith("Source guangzhou: cannot sign in: the registry answered 401")
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


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "TAG_INVALID", "tag 'v1' cannot be overwritten because the repository is immutable"),
        (409, "TAG_IMMUTABLE", "no"),
        (412, "PRECONDITION", "'web:v1' configured as immutable"),
    ],
)
def test_a_tag_that_nobody_may_overwrite_fails_and_is_as_before(
    status, code, message, rule, namespace, source, target, judge
):
    """P-66, with overwriting on."""
    rule.overwrite = True
    rule.save()
    theirs, _ = (push(url, f"{namespace}/web", "v1", some_image()) for url in (target, source))
    push(source, f"{namespace}/web", "v2", some_image())
    with Relay(target) as relay:
        words = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        relay.script("PUT", f"/v2/{namespace}/web/manifests/v1", Answer(status, body=words))
        reached_at(rule.target, relay.url)
        task = run(rule)
        assert len(relay.received("PUT", f"/v2/{namespace}/web/manifests/v1")) == 1
    assert (task.status, task.planned, task.copied, task.failed) == (Status.PARTIAL, 2, 1, 1)
    resource = TaskResource.objects.get(repository__task=task, outcome="failed")
    assert (resource.side, resource.http_status, resource.code, resource.retryable) == ("target", status, code, False)
    assert resource.hint.startswith("The target refuses to move this tag")
    assert message in resource.reason
    assert judge.digest(target, f"{namespace}/web:v1") == theirs.digest
    assert_sums_agree(task)


def test_a_registry_that_is_busy_with_an_immutable_name_is_asked_again(rule, namespace, source, target):
    name = f"{namespace}/immutable-app"
    push(source, name, "v1", some_image())
    with Relay(target) as relay:
        busy = json.dumps({"errors": [{"code": "UNKNOWN", "message": f"cannot lock {name} just now"}]}).encode()
        relay.script("PUT", f"/v2/{name}/manifests/v1", Answer(503, {"Retry-After": "0"}, busy), relay.forward)
        reached_at(rule.target, relay.url)
        assert run(rule).copied == 1
