"""Roles of users and groups on instances, and what rules may do with them. Deny by default.

Platform administrators may everything. What a role gives stands in GIVEN_BY. Receiving is apart from it: it lets rules
write to an instance, and shows no more of it than its name and region.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.contrib.auth.models import AnonymousUser, Group, User
from django.db.models import Q, QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user, get_user_perms, remove_perm
from guardian.shortcuts import get_group_perms as perms_by_groups

from sync.models import Instance, RegionPair, SyncRule

Somebody = User | AnonymousUser


class Right(StrEnum):
    """What one may do on one instance; the value is that of the permission."""

    VIEW = "view_instance"
    OPERATE = "operate_instance"
    MANAGE_RULES = "manage_rules"
    ADMINISTER = "administer_instance"
    RECEIVE = "receive"
    OVERWRITE = "receive_overwrite"
    DELETE = "receive_delete"

    @property
    def role(self) -> str:
        return ROLES[self][0]


# The word of the role, and what it lets one do.
ROLES = {
    Right.VIEW: ("Viewer", "see its rules, tasks and logs"),
    Right.OPERATE: ("Operator", "also Sync, Stop, Retry, and switch rules on and off"),
    Right.MANAGE_RULES: ("Rule admin", "also create, change and delete rules that copy from it"),
    Right.ADMINISTER: ("Instance admin", "everything on it: connection, credential, secret, access"),
    Right.RECEIVE: ("Receive", "rules of this person may copy to it"),
    Right.OVERWRITE: ("Receive, overwriting", "their rules may overwrite tags in it"),
    Right.DELETE: ("Receive, deleting", "their rules may delete tags in it that they brought"),
}
_ASCENDING = (Right.VIEW, Right.OPERATE, Right.MANAGE_RULES, Right.ADMINISTER)
# By which granted rights one has a right.
GIVEN_BY: dict[Right, tuple[Right, ...]] = {
    **{right: _ASCENDING[place:] for place, right in enumerate(_ASCENDING)},
    Right.RECEIVE: (Right.RECEIVE, Right.OVERWRITE, Right.DELETE, Right.ADMINISTER),
    Right.OVERWRITE: (Right.OVERWRITE, Right.ADMINISTER),
    Right.DELETE: (Right.DELETE, Right.ADMINISTER),
}
EVERYTHING = frozenset(Right)


def is_platform_administrator(user: Somebody) -> bool:
    return user.is_active and user.is_superuser


def instances_with(user: Somebody, right: Right) -> QuerySet[Instance]:
    """The instances on which the user has the right, of their own or by a group."""
    if is_platform_administrator(user):
        return Instance.objects.all()
    if not user.is_active or user.is_anonymous:
        return Instance.objects.none()
    granted = [f"sync.{given}" for given in GIVEN_BY[right]]
    return get_objects_for_user(user, granted, Instance, any_perm=True, accept_global_perms=False)


def rights_on(user: Somebody, instance: Instance) -> frozenset[Right]:
    if is_platform_administrator(user):
        return EVERYTHING
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    granted = {*get_user_perms(user, instance), *perms_by_groups(user, instance)}
    return frozenset(right for right, given in GIVEN_BY.items() if granted.intersection(given))


def grant(right: Right, to: User | Group, instance: Instance) -> None:
    assign_perm(f"sync.{right}", to, instance)
    review(SyncRule.objects.filter(Q(source=instance) | Q(target=instance)))


def revoke(right: Right, of: User | Group, instance: Instance) -> None:
    remove_perm(f"sync.{right}", of, instance)
    review(SyncRule.objects.filter(Q(source=instance) | Q(target=instance)))


@dataclass(frozen=True)
class Missing:
    """A right that somebody lacks for a rule, and on which of its sides."""

    right: Right
    instance: Instance

    def __str__(self) -> str:
        return f"the right {self.right.role} on {self.instance.name}"


def missing(user: Somebody, rule: SyncRule) -> Missing | None:
    """What the user lacks to have the rule as it is."""
    if is_platform_administrator(user):
        return None
    if Right.MANAGE_RULES not in rights_on(user, rule.source):
        return Missing(Right.MANAGE_RULES, rule.source)
    rights = rights_on(user, rule.target)
    needed = {Right.RECEIVE: True, Right.OVERWRITE: rule.overwrite, Right.DELETE: rule.delete_removed}
    lacking = (right for right, wanted in needed.items() if wanted and right not in rights)
    return next((Missing(right, rule.target) for right in lacking), None)


def fault(rule: SyncRule) -> str:
    """Why the rule may not run as it is, in a sentence; blank when it may.

    A rule that a platform administrator saved, or that came by a command, stands on the platform's own right.
    """
    if reason := region_fault(rule):
        return reason
    if rule.by_platform:
        return ""
    if rule.owner is None:
        return "Who saved this rule last is no longer a user: somebody with the rights to it saves it again."
    if not rule.owner.is_active:
        return f"{rule.owner}, who saved this rule last, is no longer active: somebody else saves it again."
    lacking = missing(rule.owner, rule)
    return f"{rule.owner}, who saved this rule last, lacks {lacking}." if lacking else ""


def region_fault(rule: SyncRule) -> str:
    """Why the regions of its sides forbid the rule; blank when they do not."""
    source, target = rule.source.region, rule.target.region
    pairs = RegionPair.objects.all()
    if source == target or pairs.filter(source=source, target=target).exists() or not pairs.exists():
        return ""
    return f"Nothing may be copied from {source} to {target}: this pair of regions is not allowed on this platform."


def review(rules: QuerySet[SyncRule]) -> None:
    """Suspends rules that lost what they stand on, and ends the suspension of those that have it again."""
    for rule in rules.select_related("source", "target", "owner"):
        suspend(rule, fault(rule))


def review_suspended() -> None:
    """Of those whose owner has the rights again, in whatever way: by a group, by being active again."""
    review(SyncRule.objects.exclude(suspension=""))


def suspend(rule: SyncRule, reason: str) -> None:
    """A blank reason ends the suspension."""
    if rule.suspension != reason:
        SyncRule.objects.filter(pk=rule.pk).update(suspension=reason)
        rule.suspension = reason
