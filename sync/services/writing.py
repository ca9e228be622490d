"""Writing down what became of the parts that one owner holds: all of it in one transaction, a few statements for many.

Counts, resources worth a row, deliveries, log lines, and what is left to do. Locks are taken in the order that
sync.services.claims tells.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, JSONField, Value
from django.db.models.functions import Now

from sync import queue
from sync.models import OPEN, Delivery, Lag, Notification, SyncTask, TaskPart, TaskRepository, TaskResource
from sync.services import claims, removals, tasklog
from sync.services.patience import PutOff
from sync.services.sheet import Sheet
from sync.services.spec import spec_of_task

Ended = Mapping[Sheet, PutOff | None]
"""Parts that the engine is done with; what is left of them waits, for a while where it says so."""


def write(task: SyncTask, token: str, sheets: Sequence[Sheet], ended: Ended) -> list[Sheet]:
    """Writes what the sheets hold, and returns those that were still the owner's; nothing is written of the others."""
    with transaction.atomic():
        ours = _still_ours(token, sheets)
        claims.lock(sheet.repository.pk for sheet in ours)
        _write_parts(ours, ended)
        _write_repositories(ours, ended)
        _write_totals(task, ours)
    return ours


def _still_ours(token: str, sheets: Sequence[Sheet]) -> list[Sheet]:
    """Those whose parts nobody took; they are locked, so that nobody does before all is written."""
    parts = TaskPart.objects.filter(pk__in=[sheet.part.pk for sheet in sheets], claim=token)
    held = set(parts.order_by("repository_id", "pk").select_for_update().values_list("pk", flat=True))
    return sorted((sheet for sheet in sheets if sheet.part.pk in held), key=lambda sheet: sheet.repository.pk)


def _write_parts(sheets: Sequence[Sheet], ended: Ended) -> None:
    """What was done leaves them; those that are done go, and others that the engine is done with wait again."""
    done = [sheet.part.pk for sheet in sheets if sheet in ended and sheet.remaining == {}]
    left = [sheet for sheet in sheets if sheet.part.pk not in done]
    if done:
        TaskPart.objects.filter(pk__in=done).delete()
    _come_forward([sheet for sheet in left if sheet.came_forward])
    _tell_under_way([sheet for sheet in left if sheet not in ended])
    if left:
        TaskPart.objects.filter(pk__in=[sheet.part.pk for sheet in left]).update(heartbeat_at=Now())
    for sheet in left:
        if sheet in ended:
            wait = ended[sheet]
            changes = {} if wait is None else _put_off(sheet, wait)
            TaskPart.objects.filter(pk=sheet.part.pk).update(**changes, claim="")


def _come_forward(sheets: Sequence[Sheet]) -> None:
    parts = [sheet.part for sheet in sheets]
    for sheet in sheets:
        sheet.part.tags = None if sheet.remaining is None else list(sheet.remaining)
        sheet.part.lost_owners, sheet.part.tries, sheet.part.put_off_since = 0, 0, None
    # They are there, and locked: nothing is inserted. bulk_update() takes three times the processor time.
    changed = ["tags", "lost_owners", "tries", "put_off_since"]
    TaskPart.objects.bulk_create(
        parts, batch_size=100, update_conflicts=True, unique_fields=["pk"], update_fields=changed
    )


def _tell_under_way(sheets: Sequence[Sheet]) -> None:
    told = []
    for sheet in sheets:
        sheet.part.under_way = sheet.under_way
        if sheet.part.under_way != sheet.told_under_way:
            sheet.told_under_way = sheet.part.under_way
            told.append(sheet.part)
    TaskPart.objects.bulk_create(
        told, batch_size=100, update_conflicts=True, unique_fields=["pk"], update_fields=["under_way"]
    )


def _write_repositories(sheets: Sequence[Sheet], ended: Ended) -> None:
    _write_listings([sheet for sheet in sheets if sheet.listing is not None])
    claims.count({sheet.repository.pk: sheet.numbers for sheet in sheets})
    for sheet in sheets:
        if sheet.reason:
            TaskRepository.objects.filter(pk=sheet.repository.pk, reason="").update(reason=sheet.reason)
    _write_resources([row for sheet in sheets for row in sheet.resources])
    claims.settle([sheet.repository.pk for sheet in sheets if sheet in ended])


def _write_totals(task: SyncTask, sheets: Sequence[Sheet]) -> None:
    numbers: Counter[str] = Counter()
    for sheet in sheets:
        numbers.update(sheet.numbers)
    claims.count_in_task(task.pk, numbers)
    _write_deliveries(task, [delivery for sheet in sheets for delivery in sheet.deliveries])
    if removals.is_asked_for(task):
        _write_removals(task, sheets)
    _write_lags(task, [row for sheet in sheets for row in sheet.resources if row.lag_seconds is not None])
    _tell_onward(task, [notification for sheet in sheets for notification in sheet.onward])
    lines = sorted((line for sheet in sheets for line in sheet.lines), key=lambda line: line.at)
    tasklog.write(task, lines)
    if any(sheet.listing or not sheet.repository.listed for sheet in sheets):
        unlisted = TaskRepository.objects.filter(task=task, listed=False, status__in=OPEN)
        SyncTask.objects.filter(pk=task.pk).update(all_planned=not unlisted.exists())


def _write_deliveries(task: SyncTask, deliveries: Sequence[Delivery]) -> None:
    """After the task was locked: who deletes its rule takes the rule from the task before anything else."""
    rule_id, target_id = _locked_rule(task) if deliveries else (None, None)
    if rule_id is None or target_id is None:
        return
    # In one order: another task of the rule may be writing the same.
    deliveries = sorted(deliveries, key=lambda one: (one.repository, one.tag))
    for delivery in deliveries:
        delivery.rule_id, delivery.target_id = rule_id, target_id
    Delivery.objects.bulk_create(
        deliveries,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["rule", "target", "repository", "tag"],
        update_fields=["digest", "delivered_at", "brought"],
    )


def _write_removals(task: SyncTask, sheets: Sequence[Sheet]) -> None:
    spec = spec_of_task(task)
    for sheet in sheets:
        if sheet.part.removing:
            removed = [row.tag for row in sheet.resources if row.outcome == TaskResource.Outcome.REMOVED]
            others = [*sheet.kept, *(row.tag for row in sheet.resources if row.tag not in removed)]
            removals.settled(task, sheet.repository, removed, others)
            continue
        if sheet.listing is not None and sheet.has_all_tags:
            removals.note_unlisted(task, spec, sheet.repository, sheet.listing.tags)
        if sheet.gone:
            removals.note_gone(task, sheet.repository, sheet.gone)


def _locked_rule(task: SyncTask) -> tuple[int | None, int | None]:
    """The ids of the task's rule and target, which nobody deletes before all is written."""
    locked = SyncTask.objects.select_for_update(no_key=True).values_list("rule_id", "target_id")
    rule_id, target_id = locked.get(pk=task.pk)
    return rule_id, target_id


def _write_lags(task: SyncTask, resources: Sequence[TaskResource]) -> None:
    rule_id, _ = _locked_rule(task) if resources else (None, None)
    if rule_id is not None:
        Lag.objects.bulk_create(
            [Lag(rule_id=rule_id, seconds=row.lag_seconds or 0.0) for row in resources], batch_size=500
        )


def _tell_onward(task: SyncTask, notifications: Sequence[Notification]) -> None:
    """What came to the target is a push there, whether or not its registry tells of it."""
    if not notifications or task.target_id is None:
        return
    for notification in notifications:
        notification.instance_id = task.target_id
    Notification.objects.bulk_create(notifications, batch_size=500)
    transaction.on_commit(queue.enqueue_dispatch)


def _put_off(sheet: Sheet, wait: PutOff) -> dict[str, Any]:
    """The part waits; what is shown of its repository and written to the log says for what."""
    tag, event = next(iter(sheet.failures.items()))
    others = f" So did {len(sheet.failures) - 1} others." if len(sheet.failures) > 1 else ""
    said = f"{tag or 'Its tags'}: {event.error}{others}"
    sheet.say(tasklog.WARNING, f"{said} Tried again in {wait.seconds:.0f} s.")
    TaskRepository.objects.filter(pk=sheet.repository.pk).update(reason=said, next_try_at=wait.next_try_at)
    return {**wait.fields(), "put_offs": F("put_offs") + 1}


def _write_listings(sheets: Sequence[Sheet]) -> None:
    """The tags beyond those that we take up are parts of their own, for whoever comes."""
    TaskPart.objects.bulk_create([part for sheet in sheets for part in _rest(sheet)], batch_size=500)
    alike: defaultdict[frozenset[str] | None, list[int]] = defaultdict(list)
    for sheet in sheets:
        if sheet.listing is not None:
            sheet.repository.listed = True
            alike[sheet.listing.digest_tags].append(sheet.repository.pk)
    for digest_tags, pks in alike.items():
        known = Value(None, JSONField()) if digest_tags is None else sorted(digest_tags)
        TaskRepository.objects.filter(pk__in=pks).update(listed=True, digest_tags=known)


def _rest(sheet: Sheet) -> Iterator[TaskPart]:
    tags, size = sheet.listing.tags if sheet.listing else (), sheet.work.at_most
    for at in range(size, len(tags), size):
        yield TaskPart(task_id=sheet.part.task_id, repository_id=sheet.repository.pk, tags=list(tags[at : at + size]))


def _write_resources(rows: Sequence[TaskResource]) -> None:
    failure = "side operation http_status code reason hint retryable attempts"
    written = f"kind outcome digest target_digest moved_bytes size lag_seconds {failure}"
    TaskResource.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["repository", "tag"],
        update_fields=[*written.split(), "finished_at"],
    )
