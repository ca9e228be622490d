"""What a run asks the database grows little with its repositories: they are claimed and written together."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import Status, TaskRepository
from sync.services import claims
from tests.replication.support import push, some_image
from tests.services.support import run, task_with_rows

pytestmark = pytest.mark.django_db
REPOSITORIES = 48


def test_a_run_with_nothing_to_do_asks_the_database_a_few_times_for_many_repositories(rule, source, namespace):
    image = some_image()
    for number in range(REPOSITORIES):
        push(source, f"{namespace}/{number}", "v1", image)
    assert run(rule).copied == REPOSITORIES
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert run(rule).unchanged == REPOSITORIES
    assert len(asked) < 8 * REPOSITORIES


def test_one_claim_takes_a_part_of_each_of_several_repositories(rule):
    task = task_with_rows(rule, "prod/a", "prod/b", "prod/c", tags=["v1", "v2"])
    task.parts.model.objects.create(task=task, repository=task.repositories.get(name="prod/a"), tags=["v3"])
    parts = claims.claim(task, "mine", most=4)
    assert sorted(part.repository.name for part in parts if part.repository) == ["prod/a", "prod/b", "prod/c"]
    assert set(TaskRepository.objects.values_list("status", flat=True)) == {Status.SYNCHRONIZING}
    assert claims.claim(task, "mine", [part.repository_id or 0 for part in parts], most=4) == []
    (left,) = claims.claim(task, "theirs", most=4)
    assert left.tags == ["v3"]
