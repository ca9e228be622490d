"""Where the list of tags is too long to look for signatures in, these are asked for by name; tags count once."""

import json

import pytest

from sync.models import Status, TaskPart
from sync.services import turn
from sync.services.record import Recorder
from tests.fakes.registry import Answer
from tests.replication.support import push, some_image
from tests.services.support import assert_sums_agree, make_due, open_here, reached_at, work
from tests.support import Relay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff")]

TOO_LONG = Answer(body=json.dumps({"tags": [f"t{number}" for number in range(1000)]}).encode())


def test_what_was_put_off_is_counted_once(rule, namespace, source):
    name = f"{namespace}/web"
    rule.repositories, rule.tags = "web", "v1|v2|v3"
    rule.save()
    for tag in ("v1", "v2", "v3"):
        push(source, name, tag, some_image())
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/tags/list", TOO_LONG)
        relay.script("GET", f"/v2/{name}/manifests/", Answer(429, {"Retry-After": "100"}), relay.forward)
        reached_at(rule.source, relay.url)
        task = open_here(rule)
        work(task)
        assert task.status == Status.SYNCHRONIZING
        make_due(task)
        work(task)
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 3, 3)
    assert_sums_agree(task)


def test_what_is_divided_is_counted_once(rule, namespace, source, settings):
    settings.TAGS_PER_CLAIM = 2
    name, image = f"{namespace}/web", some_image()
    tags = [f"v{number}" for number in range(6)]
    for tag in tags:
        push(source, name, tag, image)
    with Relay(source) as relay:
        relay.script("GET", f"/v2/{name}/tags/list", TOO_LONG)
        reached_at(rule.source, relay.url)
        task = open_here(rule, selection=[(name, tag) for tag in tags])
        while work(task):
            assert task.is_open
    assert (task.status, task.planned, task.copied) == (Status.SUCCEEDED, 6, 6)
    assert_sums_agree(task)


def test_a_worker_before_which_another_has_planned_claims_no_more_than_it_works_on(
    rule, namespace, source, settings, monkeypatch
):
    settings.REPOSITORIES_AT_ONCE = 2
    names = [f"{namespace}/r{number}" for number in range(12)]
    for name in names:
        push(source, name, "v1", some_image())
    task, held = open_here(rule), []
    reach, open_ = turn.Turn._reach, Recorder.open

    def planned_meanwhile(self, *sides):
        reach(self, *sides)
        if (part := TaskPart.objects.filter(repository=None).first()) is not None:
            turn.plan_repositories(part, self._spec, names)

    def counted(self, parts):
        works = open_(self, parts)
        held.append(self.at_work)
        return works

    monkeypatch.setattr(turn.Turn, "_reach", planned_meanwhile)
    monkeypatch.setattr(Recorder, "open", counted)
    work(task)
    assert (task.status, task.copied) == (Status.SUCCEEDED, 12)
    assert max(held) <= 2
