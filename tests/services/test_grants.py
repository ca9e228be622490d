"""Roles on instances: what each gives, and rules that stand or fall with them."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User

from sync.models import Instance, RegionPair, Status, SyncRule
from sync.services import grants
from sync.services.configure import save_rule
from sync.services.dispatch import dispatch
from sync.services.grants import Right
from tests.replication.support import push, some_image
from tests.services.pushing import tell
from tests.services.support import make_instance, make_rule, open_here, run, work

pytestmark = pytest.mark.django_db

GIVES = {
    Right.VIEW: {Right.VIEW},
    Right.OPERATE: {Right.VIEW, Right.OPERATE},
    Right.MANAGE_RULES: {Right.VIEW, Right.OPERATE, Right.MANAGE_RULES},
    Right.ADMINISTER: set(Right),
    Right.RECEIVE: {Right.RECEIVE},
    Right.OVERWRITE: {Right.RECEIVE, Right.OVERWRITE},
    Right.DELETE: {Right.RECEIVE, Right.DELETE},
}


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("role", Right)
def test_what_a_role_gives_on_its_instance_and_no_other(ann, role, by_group):
    here, elsewhere = (make_instance(name, "http://127.0.0.1:1") for name in ("here", "elsewhere"))
    to: User | Group = ann
    if by_group:
        to = Group.objects.create(name="team")
        ann.groups.add(to)
    assert grants.rights_on(ann, here) == frozenset()
    grants.grant(role, to, here)
    ann = User.objects.get(pk=ann.pk)
    assert grants.rights_on(ann, here) == GIVES[role]
    assert grants.rights_on(ann, elsewhere) == frozenset()
    for right in Right:
        assert list(grants.instances_with(ann, right)) == ([here] if right in GIVES[role] else [])
    grants.revoke(role, to, here)
    assert grants.rights_on(User.objects.get(pk=ann.pk), here) == frozenset()


def test_who_is_nobody_has_no_right(ann):
    here = make_instance("here", "http://127.0.0.1:1")
    grants.grant(Right.ADMINISTER, ann, here)
    ann.is_active = False
    for somebody in (ann, AnonymousUser()):
        assert grants.rights_on(somebody, here) == frozenset()
        assert not grants.instances_with(somebody, Right.VIEW).exists()


def test_platform_administrators_may_everything():
    here = make_instance("here", "http://127.0.0.1:1")
    root = User.objects.create_superuser("root")
    assert grants.rights_on(root, here) == set(Right)
    assert list(grants.instances_with(root, Right.DELETE)) == [here]


@pytest.fixture
def sides(source: str, target: str) -> tuple[Instance, Instance]:
    return make_instance("here", source), make_instance("there", target)


@pytest.fixture
def anns(ann: User, sides: tuple[Instance, Instance], namespace: str) -> SyncRule:
    """A rule that stands on what Ann may do."""
    grants.grant(Right.MANAGE_RULES, ann, sides[0])
    grants.grant(Right.RECEIVE, ann, sides[1])
    rule = SyncRule(name="anns", source=sides[0], target=sides[1], source_namespace=namespace)
    save_rule(rule, owner=ann)
    return rule


@pytest.mark.parametrize(
    ("lost", "side", "named"),
    [(Right.MANAGE_RULES, 0, "Rule admin on here"), (Right.RECEIVE, 1, "Receive on there")],
)
def test_a_rule_that_lost_a_grant_is_suspended_says_why_and_comes_back(anns, ann, sides, lost, side, named):
    assert not anns.suspension
    grants.revoke(lost, ann, sides[side])
    anns.refresh_from_db()
    assert named in anns.suspension and "ann" in anns.suspension and not anns.acts
    grants.grant(lost, ann, sides[side])
    anns.refresh_from_db()
    assert anns.acts


@pytest.mark.parametrize(("field", "right"), [("overwrite", Right.OVERWRITE), ("delete_removed", Right.DELETE)])
def test_overwriting_and_deleting_are_rights_of_their_own(anns, ann, sides, field, right):
    setattr(anns, field, True)
    lacking = grants.missing(ann, anns)
    assert lacking is not None and (lacking.right, lacking.instance) == (right, sides[1])
    grants.grant(right, ann, sides[1])
    assert grants.missing(User.objects.get(pk=ann.pk), anns) is None


def test_a_task_asks_again_when_it_starts(anns, ann, sides, namespace, source):
    """However the right was lost: here by a group."""
    push(source, f"{namespace}/web", "v1", some_image())
    team = Group.objects.create(name="team")
    ann.groups.add(team)
    grants.grant(Right.RECEIVE, team, sides[1])
    grants.revoke(Right.RECEIVE, ann, sides[1])
    assert run(anns).status == Status.SUCCEEDED
    task = open_here(anns)
    ann.groups.clear()
    assert not work(task)
    assert task.status == Status.FAILED and "lacks the right Receive on there" in task.reason
    assert "Who administers that instance gives the right back" in task.reason
    anns.refresh_from_db()
    assert anns.suspension
    ann.groups.add(team)
    grants.review_suspended()
    anns.refresh_from_db()
    assert anns.acts and run(anns).status == Status.SUCCEEDED


def test_an_open_task_asks_for_what_it_was_started_with_though_the_rule_leads_elsewhere(anns, ann, sides):
    elsewhere = Instance.objects.create(name="elsewhere", region="x", url=sides[1].url)
    grants.grant(Right.RECEIVE, ann, elsewhere)
    task = open_here(anns)
    anns.target = elsewhere
    anns.save()
    grants.revoke(Right.RECEIVE, ann, sides[1])
    work(task)
    assert task.status == Status.FAILED and "lacks the right Receive on there" in task.reason
    anns.refresh_from_db()
    assert not anns.suspension


def test_an_open_task_asks_for_the_right_to_overwrite_though_the_rule_does_not_any_more(anns, ann, sides):
    grants.grant(Right.OVERWRITE, ann, sides[1])
    anns.overwrite = True
    anns.save()
    task = open_here(anns)
    anns.overwrite = False
    anns.save()
    grants.revoke(Right.OVERWRITE, ann, sides[1])
    work(task)
    assert task.status == Status.FAILED and "lacks the right" in task.reason


@pytest.mark.parametrize("gone", ["deleted", "inactive"])
def test_a_rule_does_not_outlive_its_owner(anns, ann, gone):
    if gone == "deleted":
        ann.delete()
    else:
        User.objects.filter(pk=ann.pk).update(is_active=False)
    task = open_here(anns)
    work(task)
    assert task.status == Status.FAILED and "saves it again" in task.reason


def test_a_rule_of_the_platform_needs_no_owner(sides, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule = make_rule(*sides, source_namespace=namespace)
    save_rule(rule)
    assert run(rule).status == Status.SUCCEEDED


def test_pushes_do_not_start_a_suspended_rule(anns, ann, sides, namespace):
    grants.revoke(Right.RECEIVE, ann, sides[1])
    tell(sides[0], f"{namespace}/web", "v1")
    dispatch()
    assert not anns.tasks.exists()
    grants.grant(Right.RECEIVE, ann, sides[1])
    tell(sides[0], f"{namespace}/web", "v2")
    dispatch()
    assert anns.tasks.exists()


def test_pairs_of_regions_forbid_rules_across_all_others(sides, namespace, source):
    push(source, f"{namespace}/web", "v1", some_image())
    rule = make_rule(*sides, source_namespace=namespace)
    RegionPair.objects.create(source="eu", target="eu-2")
    grants.review(SyncRule.objects.all())
    rule.refresh_from_db()
    assert "from region-of-here to region-of-there" in rule.suspension
    assert "Platform administrators allow pairs: ask one" in rule.suspension
    task = run(rule)
    assert task.status == Status.FAILED
    assert "the rule" not in task.reason, "no rule admin can mend that"
    RegionPair.objects.create(source="region-of-here", target="region-of-there")
    assert run(rule).status == Status.SUCCEEDED


def test_within_a_region_no_pair_is_needed(source, target, namespace):
    RegionPair.objects.create(source="eu", target="eu-2")
    sides = (make_instance(name, url) for name, url in (("here", source), ("there", target)))
    rule = make_rule(*sides, source_namespace=namespace)
    Instance.objects.update(region="cn")
    rule.refresh_from_db()
    assert not grants.region_fault(SyncRule.objects.select_related("source", "target").get())
