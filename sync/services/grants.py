"""Roles of users and groups on instances, and what rules may do with them. Deny by default.

Platform administrators may everything. What a role gives stands in GIVEN_BY. Receiving is apart from it: it lets rules
write to an instance, and shows no more of it than its name and region.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import transaction
from django.db.models import Q, QuerySet
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import assign_perm, get_objects_for_user, get_user_perms, remove_perm
from guardian.shortcuts import get_group_perms as perms_by_groups

from sync.models import Instance, RegionPair, SyncRule
from sync.services import audit
from sync.services.audit import Caller, on_behalf_of

# In a sentence.
NAMED = 5

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


@dataclass
class Reviewed:
    """Rules that are suspended now, for lack of a right or because regions forbid them, and such that go on again."""

    suspended: list[SyncRule] = field(default_factory=list)
    forbidden: list[SyncRule] = field(default_factory=list)
    going_on: list[SyncRule] = field(default_factory=list)

    def told_to(self, user: Somebody) -> str:
        """A sentence for each, blank for none; rules of instances that the user does not see are only counted."""
        seen = set(instances_with(user, Right.VIEW).values_list("pk", flat=True))
        told = []
        if self.suspended:
            told.append(f"Suspended for lack of a right: {_named(self.suspended, seen)}.")
        if self.forbidden:
            told.append(f"Suspended because of their regions: {_named(self.forbidden, seen)}.")
        if self.going_on:
            told.append(f"No longer suspended: {_named(self.going_on, seen)}.")
        return " ".join(told)


def _named(rules: Sequence[SyncRule], seen: Collection[int]) -> str:
    known = [str(rule) for rule in rules if rule.source_id in seen]
    named = [", ".join(known[:NAMED])] if known else []
    if len(known) > NAMED:
        named.append(f"{len(known) - NAMED} more")
    if unseen := len(rules) - len(known):
        named.append(f"{unseen} rule{'s'[: unseen > 1]} of instances that you do not see")
    return " and ".join(named)


def all_rights(user: Somebody) -> dict[int, frozenset[Right]]:
    """What the user may do, by instance; of a platform administrator nothing, who may everything everywhere."""
    if is_platform_administrator(user) or not isinstance(user, User) or not user.is_active:
        return {}
    granted: defaultdict[int, set[str]] = defaultdict(set)
    theirs = (
        UserObjectPermission.objects.filter(user=user),
        GroupObjectPermission.objects.filter(group__user=user),
    )
    for rows in theirs:
        of_instances = rows.filter(content_type__app_label="sync", content_type__model="instance")
        for key, codename in of_instances.values_list("object_pk", "permission__codename"):
            granted[int(key)].add(codename)
    return {
        key: frozenset(right for right, given in GIVEN_BY.items() if codenames.intersection(given))
        for key, codenames in granted.items()
    }


def roles_of(user: User) -> list[tuple[Instance, list[str]]]:
    """The roles of a person by instance, those of their groups with the name of the group; not what they include."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    own = UserObjectPermission.objects.filter(user=user)
    by_groups = GroupObjectPermission.objects.filter(group__user=user).select_related("group")
    for rows in (own, by_groups):
        for row in rows.filter(content_type__app_label="sync", content_type__model="instance").select_related(
            "permission"
        ):
            if row.permission.codename in set(Right):
                by = f" (group {row.group})" if isinstance(row, GroupObjectPermission) else ""
                found[int(row.object_pk)].append(f"{Right(row.permission.codename).role}{by}")
    return [(one, sorted(found[one.pk])) for one in Instance.objects.filter(pk__in=found).order_by("name")]


def roles_on(user: User, instance: Instance) -> list[str]:
    """In the same words, on one instance."""
    if is_platform_administrator(user):
        return ["Platform administrator"]
    return next((held for one, held in roles_of(user) if one == instance), [])


def granted_on(instance: Instance) -> Iterator[tuple[User | Group, Right]]:
    """Who has which role on the instance, just as it was given."""
    for grants in (UserObjectPermission, GroupObjectPermission):
        rows = grants.objects.filter(content_type__app_label="sync", content_type__model="instance")
        somebody = "user" if grants is UserObjectPermission else "group"
        for row in rows.filter(object_pk=str(instance.pk)).select_related("permission", somebody):
            if row.permission.codename in set(Right):
                yield getattr(row, somebody), Right(row.permission.codename)


def users_with(instance: Instance, right: Right) -> set[int]:
    """Who has the right on the instance by a role, of their own or by a group: their keys, active or not."""
    granted = {"permission__codename__in": GIVEN_BY[right], "object_pk": str(instance.pk)}
    granted |= {"content_type__app_label": "sync", "content_type__model": "instance"}
    people = set(UserObjectPermission.objects.filter(**granted).values_list("user", flat=True))
    members = User.objects.filter(groups__in=GroupObjectPermission.objects.filter(**granted).values("group"))
    return people | set(members.values_list("pk", flat=True))


@transaction.atomic
def grant(right: Right, to: User | Group, instance: Instance) -> Reviewed:
    assign_perm(f"sync.{right}", to, instance)
    audit.note(audit.Verb.GRANTED, instance, detail=f"{right.role}: {_kind_of(to)} {to}.")
    return review(SyncRule.objects.filter(Q(source=instance) | Q(target=instance)))


@transaction.atomic
def set_role(right: Right, to: User | Group, instance: Instance) -> tuple[list[Right], Reviewed]:
    """Gives the role in place of those that it includes, and of those that include it: which these were.

    Of Viewer to Instance admin somebody has one; what rules may do to the instance goes beside it.
    """
    held = [own for somebody, own in granted_on(instance) if somebody == to and own != right]
    chains = (_ASCENDING, (Right.RECEIVE, right)) if right in (Right.OVERWRITE, Right.DELETE) else (_ASCENDING,)
    chain = next((one for one in chains if right in one), ())
    replaced = [own for own in held if own in chain]
    for own in replaced:
        remove_perm(f"sync.{own}", to, instance)
        audit.note(audit.Verb.REVOKED, instance, detail=f"{own.role}: {_kind_of(to)} {to}.")
    return replaced, grant(right, to, instance)


@transaction.atomic
def revoke(right: Right, of: User | Group, instance: Instance) -> Reviewed:
    remove_perm(f"sync.{right}", of, instance)
    audit.note(audit.Verb.REVOKED, instance, detail=f"{right.role}: {_kind_of(of)} {of}.")
    return review(SyncRule.objects.filter(Q(source=instance) | Q(target=instance)))


def _kind_of(somebody: User | Group) -> str:
    return "person" if isinstance(somebody, User) else "group"


@transaction.atomic
def allow_regions(pair: RegionPair) -> Reviewed:
    first = not RegionPair.objects.exists()
    pair.save()
    detail = "The first pair: all others are forbidden from now on." if first else ""
    audit.note(audit.Verb.ALLOWED_REGIONS, pair, detail=detail)
    return review(SyncRule.objects.all())


def forbidden_by(pair: RegionPair) -> list[SyncRule]:
    """The enabled rules that may not run if this is the only pair, as the first one is; suspended ones too."""
    allowed: Pairs = frozenset({(pair.source, pair.target)})
    rules = SyncRule.objects.filter(enabled=True).select_related("source", "target").order_by("source__name", "name")
    return [rule for rule in rules if region_fault(rule, allowed)]


def is_last(pair: RegionPair) -> bool:
    """Whether rules may join any regions when it is removed."""
    return not RegionPair.objects.exclude(pk=pair.pk).exists()


def freed_without_pairs() -> list[SyncRule]:
    """The suspended rules that nothing but their regions keeps from running, disabled ones too."""
    rules = SyncRule.objects.exclude(suspension="").select_related("source", "target", "owner")
    pairs, none = allowed_pairs(), frozenset[tuple[str, str]]()
    ordered = rules.order_by("source__name", "name")
    return [rule for rule in ordered if region_fault(rule, pairs) and not fault(rule, none)]


@transaction.atomic
def forbid_regions(pair: RegionPair) -> Reviewed:
    if is_last(pair):
        everywhere = RegionPair(pk=pair.pk, source="any region", target="any other")
        detail = f"The last pair, {pair}, was removed: without pairs rules may join any regions."
        audit.note(audit.Verb.ALLOWED_REGIONS, everywhere, detail=detail)
    else:
        audit.note(audit.Verb.FORBADE_REGIONS, pair)
    pair.delete()
    return review(SyncRule.objects.all())


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


def pool_fault(user: Somebody, thing: SyncRule | Instance) -> str:
    """Why the user may not have the work done by workers of its pool, which may stand where nobody else reaches."""
    known = {"", thing.source.pool} if isinstance(thing, SyncRule) else {""}
    if is_platform_administrator(user) or thing.pool in known:
        return ""
    if thing.pk and type(thing)._default_manager.filter(pk=thing.pk, pool=thing.pool).exists():
        return ""
    return "Only platform administrators choose workers: leave it blank, or ask one of them."


Pairs = frozenset[tuple[str, str]]


def allowed_pairs() -> Pairs:
    """Of regions; none: all are."""
    return frozenset(RegionPair.objects.values_list("source", "target"))


def fault(rule: SyncRule, pairs: Pairs | None = None) -> str:
    """Why the rule may not run as it is, in a sentence; blank when it may.

    A rule that came from a file stands on the platform's own right.
    """
    if reason := region_fault(rule, pairs):
        return reason
    if rule.by_platform:
        return ""
    if rule.owner is None:
        return "Who saved this rule last is no longer a user: somebody with the rights to it saves it again."
    if not rule.owner.is_active:
        return f"{rule.owner}, who saved this rule last, is no longer active: somebody else saves it again."
    lacking = missing(rule.owner, rule)
    return f"{rule.owner}, who saved this rule last, lacks {lacking}." if lacking else ""


def region_fault(rule: SyncRule, pairs: Pairs | None = None) -> str:
    """Why the regions of its sides forbid the rule; blank when they do not. pairs: looked up where not given."""
    source, target = rule.source.region, rule.target.region
    if source == target:
        return ""
    pairs = allowed_pairs() if pairs is None else pairs
    if not pairs or (source, target) in pairs:
        return ""
    return (
        f"Nothing may be copied from {source} to {target}: this pair of regions is not allowed on this platform. "
        "Platform administrators allow pairs: ask one, or choose a target in another region."
    )


def remedy(rule: SyncRule) -> str:
    """Whom to ask about what is at fault with the rule, as far as the reason does not say so itself."""
    if region_fault(rule) or rule.owner is None or not rule.owner.is_active:
        return ""
    return "Who administers that instance gives the right back, or somebody who has it saves the rule."


def review(rules: QuerySet[SyncRule]) -> Reviewed:
    """Suspends rules that lost what they stand on, and ends the suspension of those that have it again."""
    changed, pairs = Reviewed(), allowed_pairs()
    for rule in rules.select_related("source", "target", "owner"):
        before, reason = rule.suspension, fault(rule, pairs)
        suspend(rule, reason)
        if reason and not before:
            (changed.forbidden if region_fault(rule, pairs) else changed.suspended).append(rule)
        elif before and not reason:
            changed.going_on.append(rule)
    return changed


class Suspended(Exception):
    """The rule may not run; the message is a sentence that says why."""

    def __init__(self, rule: SyncRule, reason: str) -> None:
        super().__init__(f"Rule {rule} is suspended, so nothing was started: {reason}")
        self.rule, self.reason = rule, reason


def require_running(rule: SyncRule) -> None:
    """Looks whether the rule may run at this moment, and suspends it, or ends that, accordingly. Raises Suspended."""
    reason = fault(rule)
    with on_behalf_of(Caller()):  # who asks for a run has not decided that
        suspend(rule, reason)
    if reason:
        raise Suspended(rule, reason)


def review_rules_of(person: User | None) -> Reviewed:
    """Of who may have become less, or more; None: of people who are no longer users."""
    return review(SyncRule.objects.filter(owner=person, by_platform=False))


def review_suspended() -> None:
    """Of those whose owner has the rights again, in whatever way: by a group, by being active again."""
    review(SyncRule.objects.exclude(suspension=""))


def suspend(rule: SyncRule, reason: str) -> None:
    """A blank reason ends the suspension. That it begins or ends is noted, another reason in between is not."""
    if rule.suspension == reason:
        return
    stored = SyncRule.objects.filter(pk=rule.pk)
    with transaction.atomic():
        if (stored.filter(suspension="") if reason else stored.exclude(suspension="")).update(suspension=reason):
            audit.note(audit.Verb.SUSPENDED if reason else audit.Verb.WENT_ON, rule, detail=reason)
        elif reason:
            stored.update(suspension=reason)
    rule.suspension = reason
