import pytest

from sync.models import SyncTask
from sync.oci.errors import OciError
from sync.replication.plan import Decision
from sync.services import preview
from tests.fakes.registry import Answer
from tests.replication import support
from tests.replication.support import push, some_image
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]


def decided(one: preview.Planned) -> Decision:
    assert one.decision is not None
    return one.decision


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_rule_would_do(overwrite, rule, namespace, source, target, judge):
    same, ours, theirs = some_image(), some_image(), some_image()
    for tag, here, there in (("new", ours, None), ("same", same, same), ("other", ours, theirs)):
        push(source, f"{namespace}/web", tag, here)
        if there:
            push(target, f"mirror-{namespace}/web", tag, there)
    push(source, f"{namespace}/charts", "1.0.0", support.some_chart())
    rule.charts, rule.overwrite, rule.target_namespace = False, overwrite, f"mirror-{namespace}"
    planned = list(preview.plan(rule, ()))
    actions = {f"{one.repository}:{one.tag}": decided(one).action.value for one in planned}
    assert actions == {
        f"{namespace}/web:new": "copy",
        f"{namespace}/web:same": "unchanged",
        f"{namespace}/web:other": "overwrite" if overwrite else "conflict",
        f"{namespace}/charts:1.0.0": "left out",
    }
    (moving,) = (one for one in planned if one.tag == "other")
    assert (decided(moving).digest, decided(moving).target_digest) == (ours.digest, theirs.digest)
    assert moving.target_repository == f"mirror-{namespace}/web"
    assert preview.counts(planned)["copy"] == 1
    assert judge.digest(target, f"mirror-{namespace}/web:new") == ""
    assert judge.digest(target, f"mirror-{namespace}/web:other") == theirs.digest
    assert not SyncTask.objects.exists()


def test_only_the_chosen_resources(rule, namespace, source):
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, some_image())
    planned = list(preview.plan(rule, [(f"{namespace}/web", "v2"), (f"{namespace}/web", "gone")]))
    assert [(one.tag, decided(one).action.value) for one in planned] == [("v2", "copy"), ("gone", "vanished")]


def test_what_cannot_be_told_says_why_and_the_rest_is_told(rule, namespace, source):
    for name in ("closed", "open", "odd"):
        push(source, f"{namespace}/{name}", "v1", some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{namespace}/closed/tags/list", Answer(403))
        relay.script("HEAD", f"/v2/{namespace}/odd/manifests/v1", Answer(403))
        rule.source.url = relay.url
        planned = {f"{one.repository}:{one.tag}": one for one in preview.plan(rule)}
    assert decided(planned[f"{namespace}/open:v1"]).action.value == "copy"
    for name in (f"{namespace}/closed:", f"{namespace}/odd:v1"):
        assert planned[name].decision is None
        error = planned[name].error
        assert error is not None
        assert (error.side, error.status) == ("source", 403)
    assert preview.counts(list(planned.values()))["failed"] == 2


def test_a_name_too_long_for_the_target_is_told(rule, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule.target_namespace = "/".join(["a" * 100] * 3)
    (one,) = preview.plan(rule)
    assert "longer than 255 characters" in str(one.error)


def test_a_source_that_lists_nothing_is_an_error(rule, source):
    with Relay(source) as relay:
        relay.script("GET", "/v2/_catalog", Answer(401))
        rule.source.url = relay.url
        with pytest.raises(OciError, match="cannot list the repositories"):
            list(preview.plan(rule))


def test_tags_come_in_sorted_order(rule, namespace, source):
    with Relay(source) as relay:
        listed = b'{"tags": ["v9", "latest", "v10", "1.0"]}'
        relay.script("GET", f"/v2/{namespace}/web/tags/list", Answer(200, body=listed))
        rule.source.url, rule.repositories = relay.url, "web"
        assert [one.tag for one in preview.plan(rule)] == ["1.0", "latest", "v10", "v9"]
