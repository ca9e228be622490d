"""What of a file is there, and may be changed, for who loads or dumps it."""

from django.contrib.auth.models import User

from sync.models import Instance, SyncRule
from sync.services import grants
from sync.services.grants import Right
from sync.services.rulefile.format import Refused, unknown_instance


class Rights:
    """user: None for who may everything, as platform administrators may.

    All others change rules by a file, as far as they may on the page, and no instance. Methods raise Refused.
    """

    def __init__(self, user: User | None) -> None:
        self._user = None if user is None or grants.is_platform_administrator(user) else user

    def may_prune(self) -> None:
        if self._user is not None:
            raise Refused("only platform administrators prune: what is not in the file may be others'")

    def may_have_instance(self, instance: Instance) -> None:
        """Whether it may be compared with the file; of one that they do not see no more is told than of one that is not
        there."""
        if self._user is None:
            return
        if not _seen(self._user, instance.name, Right.VIEW):
            raise Refused(f"{unknown_instance(instance.name)}. Only platform administrators register one")
        _require(self._user, instance, Right.ADMINISTER)

    def may_change_instance(self, instance: Instance) -> None:
        if self._user is not None:
            raise Refused(f"“{instance.name}” differs: by a file only platform administrators change instances")

    def may_have_rules(self, source: str) -> None:
        """Of the instance of this name."""
        if self._user is None:
            return
        if not _seen(self._user, source, Right.VIEW):
            raise Refused(unknown_instance(source))
        _require(self._user, Instance.objects.get(name=source), Right.MANAGE_RULES)

    def may_name_target(self, target: str, rule: SyncRule) -> None:
        """One that receives from them, or that they see, or that the rule has already."""
        known = rule.target.name if rule.pk else ""
        if self._user is not None and target != known and not _seen(self._user, target, Right.VIEW, Right.RECEIVE):
            raise Refused(unknown_instance(target))

    def may_have(self, rule: SyncRule) -> None:
        if self._user is None:
            return
        if lacking := grants.missing(self._user, rule):
            raise Refused(f"for the rule “{rule}” {self._user} lacks {lacking}")
        if reason := grants.region_fault(rule):
            raise Refused(reason.rstrip("."))
        if reason := grants.pool_fault(self._user, rule):
            raise Refused(f"pool: {reason.rstrip('.')}")


def _seen(user: User, name: str, *by: Right) -> bool:
    return any(grants.instances_with(user, right).filter(name=name).exists() for right in by)


def _require(user: User, instance: Instance, right: Right) -> None:
    if right not in grants.rights_on(user, instance):
        raise Refused(f"this needs the role {right.role} on {instance.name}")
