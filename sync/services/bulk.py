"""Bulk synchronization: which rules are meant, following their tasks, and what came of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from django.db.models import QuerySet, Sum

from sync.models import Instance, Status, SyncRule, SyncTask, Trigger
from sync.oci.reference import InvalidReference, check_repository, check_tag
from sync.services import claims, grants, removals
from sync.services.execute import finish, run_slice
from sync.services.spec import spec_of_rule
from sync.services.trigger import Opened, open_task, stop_task
from sync.services.turn import never

POLL_SECONDS = 0.5
# Of suspended rules, when nothing else is there to run.
NAMED = 10

EXIT_FULFILLED, EXIT_FAILED, EXIT_WRONG_USE, EXIT_CONFLICTS, EXIT_TIMEOUT = range(5)


class WrongUse(Exception):
    """What was asked for does not exist (`unknown`) or makes no sense; the message is a sentence.

    field: which of rule, instance and resources is wrong.
    """

    def __init__(self, sentence: str, field: str = "rule", *, unknown: bool = False) -> None:
        super().__init__(sentence)
        self.field, self.unknown = field, unknown


@dataclass(frozen=True)
class Order:
    """A rule to run, over everything it matches or over the selected (repository, tag) pairs."""

    rule: SyncRule
    selection: tuple[tuple[str, str], ...] = ()


def choose(
    names: Sequence[str],
    instance: str,
    everything: bool,
    resources: Sequence[str],
    seen: QuerySet[Instance] | None = None,
) -> list[Order]:
    """The rules named `[INSTANCE/]NAME`, those of an instance, or all enabled ones. Raises WrongUse.

    seen: what else is there does not exist for who asks; None: they see everything.
    """
    if everything and (names or instance):
        raise WrongUse("--all means every enabled rule: leave out --rule and --instance.")
    rules = _rules(names, instance, everything, Instance.objects.all() if seen is None else seen)
    if not resources:
        return [Order(rule) for rule in rules]
    pairs = [_resource(resource) for resource in resources]
    orders = [Order(rule, tuple(pair for pair in pairs if _covers(rule, *pair))) for rule in rules]
    for repository, tag in pairs:
        if not any((repository, tag) in order.selection for order in orders):
            sentence = f"None of the chosen rules covers {repository}:{tag}: compare namespace and expressions."
            raise WrongUse(sentence, "resources")
    return [order for order in orders if order.selection]


def _rules(names: Sequence[str], instance: str, everything: bool, seen: QuerySet[Instance]) -> list[SyncRule]:
    if instance and not seen.filter(name=instance).exists():
        raise WrongUse(f"There is no instance “{instance}”.", "instance", unknown=True)
    known = SyncRule.objects.select_related("source", "target").order_by("source__name", "name")
    known = known.filter(source__in=seen)
    if instance:
        known = known.filter(source__name=instance)
    if names:
        return list(dict.fromkeys(_rule(known, name) for name in names))
    if not (everything or instance):
        raise WrongUse("Say which rules: --rule NAME, --instance NAME or --all.")
    rules = list(known.filter(enabled=True))
    if not rules:
        raise WrongUse("No enabled rule is there to run.")
    return rules


def _rule(known: QuerySet[SyncRule], name: str) -> SyncRule:
    instance, _, rule_name = name.rpartition("/")
    found = list(known.filter(name=rule_name, **({"source__name": instance} if instance else {}))[:2])
    if not found:
        raise WrongUse(f"There is no rule “{name}”.", unknown=True)
    if len(found) > 1:
        raise WrongUse(f"Several instances have a rule “{name}”: write INSTANCE/{name}.")
    return found[0]


def _resource(text: str) -> tuple[str, str]:
    repository, _, tag = text.rpartition(":")
    if not repository:
        raise WrongUse(f"“{text}” is not of the form REPOSITORY:TAG.", "resources")
    try:
        return check_repository(repository), check_tag(tag)
    except InvalidReference as error:
        raise WrongUse(f"“{text}” is not of the form REPOSITORY:TAG: {error}", "resources") from None


def _covers(rule: SyncRule, repository: str, tag: str) -> bool:
    spec = spec_of_rule(rule)
    return spec.selects(repository) and spec.tags.matches(tag)


def part(orders: Iterable[Order]) -> tuple[list[Order], list[grants.Suspended]]:
    """Those that may run, and of the others why not: their rules are suspended."""
    running, held = [], []
    for order in orders:
        try:
            grants.require_running(order.rule)
        except grants.Suspended as suspended:
            held.append(suspended)
        else:
            running.append(order)
    return running, held


def refusal(held: Sequence[grants.Suspended]) -> str:
    """Why nothing at all was started, in sentences."""
    if len(held) == 1:
        return str(held[0])
    told = [f"{one.rule}: {one.reason}" for one in held[:NAMED]]
    if len(held) > NAMED:
        told.append(f"And {len(held) - NAMED} more.")
    return f"All {len(held)} rules are suspended, so nothing was started. {' '.join(told)}"


def start(orders: Iterable[Order], actor: str, *, quick: bool, enqueue: bool) -> list[Opened]:
    return [
        open_task(order.rule, Trigger.COMMAND, actor=actor, selection=order.selection, quick=quick, enqueue=enqueue)
        for order in orders
    ]


Watch = Callable[[SyncTask], None]


def follow(tasks: Sequence[SyncTask], watch: Watch, deadline: float, leaving: Callable[[], bool] = never) -> bool:
    """Shows each task to `watch` until all have ended. False when the deadline (monotonic seconds) came first."""
    while True:
        for task in tasks:
            if task.is_open:
                task.refresh_from_db()
                watch(task)
        if not any(task.is_open and not removals.is_asking(task) for task in tasks):
            return True
        if monotonic() >= deadline or leaving():
            return False
        sleep(POLL_SECONDS)


def execute_here(tasks: Sequence[SyncTask], watch: Watch, deadline: float, leaving: Callable[[], bool] = never) -> bool:
    """Executes the tasks here, one after the other. What is left at the deadline, or when `leaving`, is stopped.

    False when the deadline (monotonic seconds) stopped something.
    """

    def over() -> bool:
        return monotonic() >= deadline or leaving()

    for task in tasks:
        while task.is_open and not over():
            if not run_slice(task, leaving=over, watch=watch, seconds=float("inf")) and task.is_open:
                if removals.is_asking(task):
                    break  # whoever runs the console answers
                # Somebody else holds the last repositories, or was killed while he did.
                claims.take_back()
                follow([task], watch, min(deadline, monotonic() + POLL_SECONDS))
        if task.is_open and not removals.is_asking(task):
            stop_task(task)
            finish(task)
        watch(task)
    return not any(task.stop_requested for task in tasks) or leaving()


def exit_code(tasks: Sequence[SyncTask]) -> int:
    if any(task.status != Status.SUCCEEDED or missing(task) for task in tasks):
        return EXIT_FAILED
    return EXIT_CONFLICTS if any(task.conflict for task in tasks) else EXIT_FULFILLED


def missing(task: SyncTask) -> int:
    """Resources that were asked for by name and are not in the source."""
    if not task.selection:
        return 0
    return int(task.repositories.aggregate(total=Sum("vanished", default=0))["total"])


def summary(task: SyncTask) -> dict[str, Any]:
    """One task as pipelines read it; times in seconds, sizes in bytes."""
    spent = task.time_spent
    return {
        "id": task.pk,
        "rule": f"{task.source.name if task.source else ''}/{task.rule_name}",
        "status": task.status,
        "check": "quick" if task.quick else "full",
        "repositories": task.repository_count,
        "planned": task.planned,
        "copied": task.copied,
        "unchanged": task.unchanged,
        "conflict": task.conflict,
        "failed": task.failed,
        "bytes": task.moved_bytes,
        "reason": task.reason,
        "seconds": round(spent.total_seconds(), 3) if spent else 0.0,
    }
