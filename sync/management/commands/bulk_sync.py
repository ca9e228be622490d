"""manage.py bulk_sync: runs rules from a shell or a pipeline."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.management.base import CommandError

from sync.access import Right
from sync.credentials import CredentialKeyMissing
from sync.management.acting import Acting, acting_of, add_acting, as_os_user
from sync.management.following import FollowingCommand
from sync.oci.errors import OciError
from sync.services import bulk, fitting, grants, preview
from sync.services.overlaps import Overlap
from sync.services.reading import told
from sync.services.volume import Volume, weigh

# So many of the names that another rule may write to, too, stand in the JSON; the rest is counted.
OVERLAP_NAMES = 5


@dataclass(frozen=True)
class Plan:
    """reason: why nothing can be told, else blank. overlaps: None when they are not known."""

    order: bulk.Order
    planned: Sequence[preview.Planned] = ()
    volume: Volume = field(default_factory=Volume)
    overlaps: Sequence[Overlap] | None = None
    reason: str = ""


class Command(FollowingCommand):
    help = "Synchronizes everything that rules match. Progress goes to standard error, results to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_argument_group("which rules")
        which.add_argument(
            "--rule", action="append", default=[], metavar="[INSTANCE/]NAME", help="may be given several times"
        )
        which.add_argument("--instance", default="", metavar="NAME", help="the enabled rules whose source it is")
        which.add_argument("--all", action="store_true", help="all enabled rules")
        which.add_argument(
            "--resource",
            action="append",
            default=[],
            metavar="REPOSITORY:TAG",
            help="only this, may be given several times",
        )
        add_acting(parser)
        how = self.add_following(parser)
        how.add_argument("--dry-run", action="store_true", help="print what would be done, do nothing")
        parser.add_argument(
            "--quick", action="store_true", help="trust what the rule verified in the target within a day, if listed"
        )

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        self.check_following(options)
        if options["quick"] and options["dry_run"]:
            raise CommandError(
                "--dry-run always compares both sides: leave out --quick.", returncode=bulk.EXIT_WRONG_USE
            )
        acting = acting_of(options)
        with acting.reading():
            orders = self._choose(acting, options)
            if options["dry_run"]:
                code = self._preview(orders, acting, options["json"])
            else:
                orders, self.held = bulk.part(orders)
                if not orders:
                    raise CommandError(bulk.refusal(self.held), returncode=bulk.EXIT_WRONG_USE)
                enqueue = not options["foreground"]
                start = partial(bulk.start, orders, acting.name, quick=options["quick"], enqueue=enqueue)
                code = self.synchronize(start, options)
        if code:
            sys.exit(code)

    def _choose(self, acting: Acting, options: dict[str, Any]) -> list[bulk.Order]:
        """Raises CommandError. All rules are, for a user, all that they may run."""
        everything = options["all"]
        seen = acting.instances(Right.OPERATE if everything else Right.VIEW)
        try:
            orders = bulk.choose(options["rule"], options["instance"], everything, options["resource"], seen)
        except bulk.WrongUse as error:
            raise CommandError(str(error), returncode=bulk.EXIT_WRONG_USE) from None
        for rule in (order.rule for order in orders):
            if options["dry_run"]:
                acting.require_sight_of_target(rule)
            else:
                acting.require(rule.source)
        return orders

    def _preview(self, orders: Sequence[bulk.Order], acting: Acting, as_json: bool) -> int:
        """A rule of which a side is away is told among the others."""
        plans, failed = [], False
        seen = set(acting.instances())
        for order in orders:
            try:
                planned = list(preview.plan(order.rule, order.selection))
                volume = weigh(order.rule, planned)
                overlaps = preview.overlapping(order.rule, planned)
                if overlaps is not None:
                    overlaps = [overlap for overlap in overlaps if overlap.rule.source in seen]
                plan = Plan(order, planned, volume, overlaps)
            except (OciError, CredentialKeyMissing) as error:
                plan = Plan(order, reason=told(str(error)))
            failed = failed or bool(plan.reason) or any(one.error for one in plan.planned)
            plans.append(plan)
        with self.heard_to_the_end():
            if as_json:
                self.stdout.write(json.dumps({"plans": [_plan_as_json(plan) for plan in plans]}))
            else:
                for plan in plans:
                    self._print_plan(plan)
        return bulk.EXIT_FAILED if failed else bulk.EXIT_FULFILLED

    def _print_plan(self, plan: Plan) -> None:
        rule = plan.order.rule
        if plan.reason:
            self.stdout.write(f"{rule} -> {rule.target}: cannot be told: {plan.reason}")
            return
        sums = "; ".join(filter(None, (preview.counted(plan.planned) or "nothing matches", str(plan.volume))))
        self.stdout.write(f"{rule} -> {rule.target}: {sums}")
        if suspension := grants.fault(rule):
            self.stdout.write(f"  The rule is suspended, so that nothing starts it: {suspension}")
        if fault := fitting.type_fault(rule):
            self.stdout.write(f"  The rule does not fit: {fault}")
        if plan.overlaps is None:
            self.stdout.write("  There was no time to look for other rules that write to the same names.")
        for overlap in plan.overlaps or ():
            self.stdout.write(f"  {_overlap_in_words(overlap)}")
        for one in plan.planned:
            words = f"{one.words}: {told(str(one.error))}" if one.error else one.words
            self.stdout.write(f"  {one.repository}:{one.tag} -> {one.target_repository}:{one.tag}  {words}")


def _overlap_in_words(overlap: Overlap) -> str:
    disabled = "" if overlap.rule.enabled else " (disabled)"
    more = f" and {overlap.more:,} more" if overlap.more else ""
    return f"rule {overlap.rule}{disabled} may also write to {overlap.names[0]}{more} in {overlap.rule.target.name}"


def _overlap_as_json(overlap: Overlap) -> dict[str, Any]:
    names = overlap.names[:OVERLAP_NAMES]
    more = len(overlap.names) - len(names)
    return {"rule": str(overlap.rule), "enabled": overlap.rule.enabled, "names": names, "more": more}


def _plan_as_json(plan: Plan) -> dict[str, Any]:
    """bytes_at_most: null where a manifest could not be read. overlaps: null where they are not known."""
    volume, reason = plan.volume, plan.reason
    return {
        "rule": str(plan.order.rule),
        "target": plan.order.rule.target.name,
        **preview.counts(plan.planned),
        "bytes_at_most": volume.bytes if volume.is_complete and not reason else None,
        "overlaps": None if plan.overlaps is None else [_overlap_as_json(one) for one in plan.overlaps],
        "suspended": grants.fault(plan.order.rule),
        "reason": reason,
        "resources": [
            {
                "repository": one.repository,
                "tag": one.tag,
                "target_repository": one.target_repository,
                "action": one.action,
                "digest": one.decision.digest if one.decision else "",
                "target_digest": one.decision.target_digest if one.decision else "",
                "reason": told(str(one.error)) if one.error else "",
            }
            for one in plan.planned
        ],
    }
