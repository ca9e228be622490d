"""Tasks of the console: opened by its own services, followed in its database. Import after django.setup()."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TypeVar

from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from sync.models import Instance, SyncRule, SyncTask, TaskResource, Trigger
from sync.services import claims
from sync.services.configure import save_instance, save_rule
from sync.services.trigger import open_task, retry_failed, stop_task
from tests.soak.parts import Part
from tests.soak.visitor import PASSWORD, USERNAME

Result = TypeVar("Result")
ASK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """`mark` changes whenever the task moved on."""

    status: str
    ended: bool
    mark: tuple[object, ...]
    owners: int


class Desk:
    """Asks the database, and asks again when it was down by our own doing."""

    def __init__(self, database: Part | None) -> None:
        self._database = database

    def ask(self, call: Callable[[], Result]) -> Result:
        """Whatever `call` does is done twice at most when the answer was lost: the services allow it."""
        while True:
            began = monotonic()
            try:
                return call()
            except (OperationalError, InterfaceError):
                connection.close()
                if self._database is None or not self._database.disturbed_since(began):
                    raise
            sleep(ASK_AGAIN_SECONDS)

    def furnish(self, source_url: str, target_url: str, bytes_per_second: int) -> None:
        """The two instances, the target with a limit, and somebody who may look at pages."""
        User.objects.create_superuser(USERNAME, password=PASSWORD)
        for name, url, limit in (("source", source_url, 0), ("target", target_url, bytes_per_second)):
            instance = Instance(name=name, region=name, url=url, allow_plain_http=True, max_bytes_per_second=limit)
            save_instance(instance, None)

    def rule(self, name: str, namespace: str, *, overwrite: bool) -> SyncRule:
        """A rule that copies the source's namespace to one of the rule's name."""
        source, target = (Instance.objects.get(name=side) for side in ("source", "target"))
        rule = SyncRule(
            name=name,
            source=source,
            source_namespace=namespace,
            target=target,
            target_namespace=name,
            overwrite=overwrite,
        )
        save_rule(rule)
        return rule

    def open(self, rule: SyncRule) -> SyncTask:
        return self.ask(lambda: open_task(rule, Trigger.MANUAL).task)

    def retry(self, task: SyncTask) -> SyncTask:
        return self.ask(lambda: retry_failed(SyncTask.objects.select_related("rule").get(pk=task.pk)).task)

    def stop(self, task: SyncTask) -> None:
        self.ask(lambda: stop_task(task))

    def progress(self, task: SyncTask) -> Progress:
        return self.ask(lambda: _progress(task))

    def failed(self, task: SyncTask) -> list[TaskResource]:
        rows = TaskResource.objects.filter(repository__task=task, outcome=TaskResource.Outcome.FAILED)
        return self.ask(lambda: list(rows.select_related("repository")))


def _progress(task: SyncTask) -> Progress:
    task.refresh_from_db()
    mark = (task.status, task.done, task.planned, task.repository_count, task.moved_bytes)
    return Progress(task.status, not task.is_open, mark, claims.owners(task))
