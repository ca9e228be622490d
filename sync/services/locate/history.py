"""What the database knows of an artifact: what rules brought, what became of it last, and their newest tasks."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Max

from sync.models import Delivery, SyncRule, SyncTask, TaskResource
from sync.services.locate.routes import Place, Route
from sync.services.locate.wanted import Wanted

Outcomes = dict[tuple[int, str], TaskResource]


def deliveries_to(routes: Collection[Route], wanted: Wanted) -> dict[Place, list[Delivery]]:
    """What the rules of the routes brought to their targets, or found there; oldest first."""
    targets = {(route.target.instance.pk, route.target.repository): route.target for route in routes}
    of_rules = Delivery.objects.filter(
        rule__in={route.rule.pk for route in routes},
        target__in={instance for instance, _ in targets},
        repository__in={repository for _, repository in targets},
    )
    known = of_rules.filter(tag=wanted.tag) if wanted.tag else of_rules.filter(digest=wanted.digest)
    found: defaultdict[Place, list[Delivery]] = defaultdict(list)
    for delivery in known.select_related("rule__source").order_by("delivered_at"):
        if place := targets.get((delivery.target_id, delivery.repository)):
            found[place].append(delivery)
    return found


def last_outcomes(routes: Collection[Route], wanted: Wanted) -> Outcomes:
    """By rule and repository of the source; what was equal already left no row."""
    rows = TaskResource.objects.filter(
        repository__task__rule__in={route.rule.pk for route in routes},
        repository__name__in={route.source.repository for route in routes},
    )
    rows = rows.filter(tag=wanted.tag) if wanted.tag else rows.filter(digest=wanted.digest)
    newest = rows.order_by().values("repository__task__rule", "repository__name").annotate(newest=Max("pk"))
    found = TaskResource.objects.filter(pk__in=newest.values("newest")).select_related("repository__task")
    return {(row.repository.task.rule_id or 0, row.repository.name): row for row in found}


def newest_tasks(rules: Iterable[SyncRule]) -> dict[int | None, SyncTask]:
    """By the key of the rule."""
    of_rules = SyncTask.objects.filter(rule__in=[rule.pk for rule in rules]).order_by()
    newest = of_rules.values("rule").annotate(newest=Max("pk")).values("newest")
    return {task.rule_id: task for task in SyncTask.objects.filter(pk__in=newest)}
