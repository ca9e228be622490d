"""A triggering of a rule, its repositories and the resources whose outcome is worth a row.

State moves by conditional update. The methods that move it name both ends: start, stop_waiting and close of SyncTask
here, the claims of parts in sync.services.claims.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from sync.models.instance import Instance
from sync.models.reason import ReasonField
from sync.models.rule import SyncRule


class Status(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SYNCHRONIZING = "synchronizing", "Synchronizing"
    SUCCEEDED = "succeeded", "Succeeded"
    PARTIAL = "partial", "Partial"
    FAILED = "failed", "Failed"
    STOPPED = "stopped", "Stopped"


OPEN = (Status.WAITING, Status.SYNCHRONIZING)


class Trigger(models.TextChoices):
    PUSH = "push", "Push"
    MANUAL = "manual", "Manual"
    SCHEDULE = "schedule", "Schedule"
    COMMAND = "command", "Command"
    RETRY = "retry", "Retry"


class Counts(models.Model):
    """What became of the planned resources. `moved_bytes` counts blob bytes that crossed the network, mounts none."""

    planned = models.PositiveIntegerField(default=0)
    copied = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    conflict = models.PositiveIntegerField(default=0)
    superseded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    moved_bytes = models.PositiveBigIntegerField(default=0)

    FIELDS = ("planned", "copied", "unchanged", "conflict", "superseded", "failed", "removed", "moved_bytes")

    class Meta:
        abstract = True

    @property
    def done(self) -> int:
        return self.copied + self.unchanged + self.conflict + self.superseded + self.failed + self.removed

    @property
    def succeeded(self) -> int:
        """The numerator of the success rate: what the target holds as the rule promises."""
        return self.copied + self.unchanged + self.removed

    @property
    def success_percent(self) -> int | None:
        """Rounded down, so that 100 means all; None when nothing is planned."""
        return self.succeeded * 100 // self.planned if self.planned else None


class SyncTask(Counts):
    rule = models.ForeignKey(SyncRule, null=True, on_delete=models.SET_NULL, related_name="tasks")
    # The instances of the rule when it was triggered: a rule may go, its logs stay.
    source = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="tasks")
    target = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="+")
    snapshot = models.JSONField()
    # [{"repository": whole name, "tag": tag}], empty: everything that the rule matches. Of pushes also "at", when the
    # first of them was notified (seconds since the epoch).
    selection = models.JSONField(default=list, blank=True)
    trigger = models.CharField(max_length=16, choices=Trigger)
    quick = models.BooleanField(
        "quick check", default=False, help_text="Trusts what the rule verified in the target within a day."
    )
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries")
    actor = models.CharField(max_length=150, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    stop_requested = models.BooleanField(default=False)
    stopped_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # None until the source was listed.
    repository_count = models.PositiveIntegerField(null=True)
    all_planned = models.BooleanField(default=False)
    # Of a task of pushes: when the first of them was told.
    notified_at = models.DateTimeField(null=True)
    removals_allowed = models.BooleanField(
        null=True, help_text="A person's word on deletions beyond the rule's safety share; unknown: nobody was asked."
    )
    reason = ReasonField(blank=True)
    # While the whole of it waits for a side that is away; and how long it did so before, in seconds.
    waits_since = models.DateTimeField(null=True)
    waited = models.PositiveIntegerField(default=0)
    log_lines = models.PositiveIntegerField(default=0, help_text="Lines offered to the log, those over the limit too.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["rule", "-id"], name="task_of_rule"),
            models.Index(fields=["status"], condition=models.Q(status__in=OPEN), name="task_open"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["rule"],
                condition=models.Q(status=Status.WAITING, selection=[]),
                name="one_full_task_of_a_rule_waits",
            ),
        ]

    # What it waits for though it has begun: sync.services.waiting fills it in for those who show it.
    wait: Any = None

    def __str__(self) -> str:
        return f"task {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def rule_name(self) -> str:
        return self.rule.name if self.rule else str(self.snapshot["name"])

    @property
    def parallelism(self) -> int:
        """How many workers may work on it at the same time."""
        return int(self.snapshot.get("parallelism", 1))

    @property
    def pool(self) -> str:
        """Whose workers execute it, as it is now: the rule's pool, else its source's, else its target's; or blank."""
        named = (getattr(self, one) for one in ("rule", "source", "target"))
        return next((one.pool for one in named if one and one.pool), "")

    @property
    def time_spent(self) -> timedelta | None:
        """From the start to the end of all synchronizations; while it runs, so far; None before."""
        if self.started_at is None:
            return None
        return (self.finished_at or timezone.now()) - self.started_at

    @property
    def time_at_work(self) -> timedelta | None:
        """The time spent, without that in which a side was away."""
        if self.time_spent is None:
            return None
        waits = (self.finished_at or timezone.now()) - self.waits_since if self.waits_since else timedelta()
        return max(timedelta(), self.time_spent - timedelta(seconds=self.waited) - waits)

    def start(self) -> bool:
        """Waiting -> Synchronizing. False when somebody else did it, or it has ended."""
        return self._move([Status.WAITING], status=Status.SYNCHRONIZING, started_at=timezone.now())

    def stop_waiting(self) -> bool:
        """Waiting -> Stopped, for a task that nobody has begun."""
        return self._move([Status.WAITING], status=Status.STOPPED, finished_at=timezone.now())

    def stop_being_away(self, reason: str = "") -> bool:
        """Away -> at work, or given up for a `reason`: how long it waited is no time of work.

        Its reason was what it waited for as long as `waits_since` says so, and goes with it. False if it did not wait.
        """
        since = self.waits_since
        if since is None:
            return False
        waited = max(0, round((timezone.now() - since).total_seconds()))
        changes = {"waits_since": None, "waited": models.F("waited") + waited, "reason": reason}
        stopped = SyncTask.objects.filter(pk=self.pk, waits_since=since).update(**changes)
        self.refresh_from_db(fields=list(changes))
        return bool(stopped)

    @property
    def standing_reason(self) -> str:
        """Its reason, but for that of a wait of one worker while others go on."""
        return "" if self.is_open and self.waits_since else self.reason

    def close(self, status: Status, reason: str = "") -> bool:
        """Waiting or Synchronizing -> an end. A reason that was given before stays."""
        return self._move(OPEN, status=status, reason=reason or self.reason, finished_at=timezone.now())

    def _move(self, allowed: Any, **changes: Any) -> bool:
        moved = SyncTask.objects.filter(pk=self.pk, status__in=allowed).update(**changes)
        if moved:
            for field, value in changes.items():
                setattr(self, field, value)
        return bool(moved)


class TaskRepository(Counts):
    """One repository inside a task. What is still to do of it are its parts."""

    task = models.ForeignKey(SyncTask, on_delete=models.CASCADE, related_name="repositories")
    name = models.CharField(max_length=255)
    target_name = models.CharField(max_length=512)
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    listed = models.BooleanField(default=False, help_text="Its tags are known, and counted as planned.")
    # Tags of the source under which signatures and other referrers lie, for those who come after the listing; null
    # where the list is too long or refused: then each is asked for by its name.
    digest_tags = models.JSONField(default=list)
    left_out = models.PositiveIntegerField(default=0, help_text="Resources of a type that the rule does not ask for.")
    vanished = models.PositiveIntegerField(default=0, help_text="Tags that were no longer in the source.")
    reason = ReasonField(blank=True)
    next_try_at = models.DateTimeField(null=True, help_text="Something of it waits for this moment, for the reason.")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "task repositories"
        constraints = [models.UniqueConstraint(fields=["task", "name"], name="repository_once_per_task")]
        indexes = [
            models.Index(fields=["task", "status"], name="repository_of_task_status"),
            models.Index(fields=["name"], name="repository_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def needless(self) -> bool:
        """It turned out to hold nothing that the rule asks for, and does not count as a repository of the task."""
        return self.status == Status.SUCCEEDED and not self.planned


class TaskPart(models.Model):
    """What is still to do of an open task, in pieces that workers claim; a piece that is done is deleted.

    Without a repository: list the repositories. Without tags: list those of the repository, then copy them. With
    tags: copy these. What is done leaves `tags` in the same transaction that counts it.
    """

    task = models.ForeignKey(SyncTask, on_delete=models.CASCADE, related_name="parts")
    repository = models.ForeignKey(TaskRepository, null=True, on_delete=models.CASCADE, related_name="parts")
    tags = models.JSONField(null=True)
    removing = models.BooleanField(default=False, help_text="The tags are to be deleted in the target.")
    # The fencing token of the owner, blank while it waits. Every write of an owner is conditional on it.
    claim = models.CharField(max_length=36, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    # Owners that were lost, or fell over a fault of ours, since it last came forward.
    lost_owners = models.PositiveSmallIntegerField(default=0)
    # What the owner is bringing: {tag: [bytes sent, bytes to be sent as far as known]}. Means nothing without an owner.
    under_way = models.JSONField(default=dict, blank=True)
    # Failures that waiting may heal: how often since it last came forward, since when, and the next try.
    tries = models.PositiveSmallIntegerField(default=0)
    put_off_since = models.DateTimeField(null=True)
    # How often in all something of it was put off.
    put_offs = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["task", "claim"], name="part_of_task_claim")]

    def __str__(self) -> str:
        return f"part {self.pk} of task {self.task_id}"


class TaskResource(models.Model):
    """One resource whose outcome is worth a row. What was equal already is only counted."""

    class Outcome(models.TextChoices):
        COPIED = "copied", "Copied"
        CONFLICT = "conflict", "Conflict"
        SUPERSEDED = "superseded", "Superseded"
        FAILED = "failed", "Failed"
        REMOVED = "removed", "Removed"

    repository = models.ForeignKey(TaskRepository, on_delete=models.CASCADE, related_name="resources")
    tag = models.CharField(max_length=128)
    kind = models.CharField(max_length=8, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome)
    digest = models.CharField(max_length=140, blank=True)
    target_digest = models.CharField(max_length=140, blank=True, help_text="What the target held before.")
    moved_bytes = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(
        null=True, help_text="Bytes of all its blobs, moved or there already; unknown where manifests were not read."
    )
    # Why it failed: which side, doing what, what the registry said, what to do next.
    side = models.CharField(max_length=8, blank=True)
    operation = models.CharField(max_length=600, blank=True)
    http_status = models.PositiveSmallIntegerField(default=0)
    code = models.CharField(max_length=64, blank=True)
    reason = ReasonField(blank=True)
    hint = ReasonField(blank=True)
    retryable = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(null=True, help_text="How often it was tried; not known of old ones.")
    lag_seconds = models.FloatField(null=True, help_text="From the notification to the tag in the target.")
    finished_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["repository", "tag"]
        constraints = [models.UniqueConstraint(fields=["repository", "tag"], name="resource_once_per_repository")]
        indexes = [models.Index(fields=["digest"], name="resource_digest")]

    def __str__(self) -> str:
        return self.tag


class Removal(models.Model):
    """A tag that is gone from the source, and that the rule brought to the target with this digest."""

    task = models.ForeignKey(SyncTask, on_delete=models.CASCADE, related_name="removals")
    repository = models.ForeignKey(TaskRepository, on_delete=models.CASCADE, related_name="removals")
    tag = models.CharField(max_length=128)
    digest = models.CharField(max_length=140)
    doubtful = models.BooleanField(
        default=False, help_text="Its repository is gone, or was found empty: a person decides."
    )
    taken = models.BooleanField(default=False, help_text="A part of the task deletes it.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["repository", "tag"]
        constraints = [models.UniqueConstraint(fields=["repository", "tag"], name="removal_once_per_repository")]

    def __str__(self) -> str:
        return self.tag


class LogLine(models.Model):
    """What happened in a task, as it happened. How many lines a task keeps is bounded: sync.services.tasklog."""

    class Level(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        ERROR = "error", "Error"

    task = models.ForeignKey(SyncTask, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=8, choices=Level, default=Level.INFO)
    repository = models.CharField(max_length=255, blank=True)
    message = ReasonField()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["task", "level"], name="line_of_task_level")]

    def __str__(self) -> str:
        return str(self.message)
