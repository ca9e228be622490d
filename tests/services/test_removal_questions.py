"""What a task asks about deletions: once for a rule, as long as there is something to ask; what was kept, no more."""

import pytest

from sync.models import Delivery, Status
from sync.services import removals
from sync.services.execute import sweep
from sync.services.trigger import answer_removals
from tests.services.deleting import delete, run_until_asked, tags_of
from tests.services.support import open_here

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_backoff", "no_queue")]


def asked(rule):
    task = open_here(rule)
    run_until_asked(task)
    return task


def test_a_second_task_asks_nothing_of_its_own(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    first, second = asked(deleting), asked(deleting)
    assert removals.is_asking(first)
    assert second.status == Status.SUCCEEDED
    assert f"Task {first.pk} asks" in " ".join(second.log.values_list("message", flat=True))
    delete(guangzhou, web, "v5")
    asked(deleting)
    question = removals.question(first)
    assert question is not None
    assert [one.tag for one in question.shown] == ["v1", "v2", "v3", "v4", "v5"]
    assert removals.asking([deleting]) == {deleting.pk: first.pk}
    answer_removals(first, delete=True, actor="chen")
    run_until_asked(first)
    assert (first.removed, first.status) == (5, Status.SUCCEEDED)
    assert tags_of(frankfurt, web) == ["v0"]


def test_a_question_whose_tags_another_task_deleted_ends(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = asked(deleting)
    Delivery.objects.filter(tag__in=("v1", "v2", "v3", "v4")).delete()
    sweep()
    task.refresh_from_db()
    assert (task.status, task.removed) == (Status.SUCCEEDED, 0)


def test_what_somebody_keeps_is_not_asked_about_again(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    answer_removals(asked(deleting), delete=False, actor="chen")
    assert asked(deleting).status == Status.SUCCEEDED
    assert len(tags_of(frankfurt, web)) == 6


def test_once_asked_nothing_goes_without_an_answer(deleting, guangzhou, frankfurt, web):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = asked(deleting)
    for number in range(30):  # now four are few
        Delivery.objects.create(rule=deleting, target=frankfurt, repository="more", tag=f"v{number}", digest="sha256:1")
    sweep()
    task.refresh_from_db()
    assert removals.is_asking(task)
    assert len(tags_of(frankfurt, web)) == 6


def test_an_answer_to_another_question_than_the_one_that_was_shown_counts_for_nothing(
    deleting, guangzhou, frankfurt, web
):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    task = asked(deleting)
    shown = removals.question(task)
    assert shown is not None
    delete(guangzhou, web, "v5")
    asked(deleting)
    assert not answer_removals(task, delete=True, actor="chen", mark=shown.mark)
    assert len(tags_of(frankfurt, web)) == 6
    assert answer_removals(task, delete=True, actor="chen", mark=removals.mark_of(task))


def test_a_question_that_is_being_answered_gets_no_more(deleting, guangzhou, frankfurt, web, monkeypatch):
    delete(guangzhou, web, "v1", "v2", "v3", "v4")
    first = asked(deleting)
    delete(guangzhou, web, "v5")
    real = removals.is_asking

    def answered_meanwhile(task):
        answer_removals(first, delete=True, actor="chen")
        return real(task)

    second = open_here(deleting)
    monkeypatch.setattr(removals, "is_asking", answered_meanwhile)
    run_until_asked(second)
    monkeypatch.setattr(removals, "is_asking", real)
    run_until_asked(first)
    assert tags_of(frankfurt, web) == ["v0", "v5"]
    assert removals.is_asking(second)
