"""Pushes that registries tell of, and everything that follows from them, in this process."""

import requests

from sync.models import OPEN, Instance, Notification, SyncTask, Trigger
from sync.services.dispatch import dispatch
from sync.services.execute import run_slice
from sync.services.trigger import open_task
from tests.replication.support import push, some_image


def push_there(instance: Instance, repository: str, tag: str) -> str:
    """Pushes something new, which the registry tells; its digest."""
    digest = push(instance.url, repository, tag, some_image()).digest
    tell(instance, repository, tag, digest)
    return digest


def tell(instance: Instance, repository: str, tag: str = "", digest: str = "", **fields: object) -> Notification:
    return Notification.objects.create(
        **{"instance": instance, "repository": repository, "tag": tag, "digest": digest} | fields
    )


def work_off() -> None:
    for task in SyncTask.objects.filter(status__in=OPEN):
        while run_slice(task, seconds=float("inf"), patient=True):
            pass


def settle(rounds: int = 20) -> int:
    """Hands out notifications and works off the tasks until everything is at rest; how many tasks there are then."""
    for _ in range(rounds):
        dispatch()
        if not SyncTask.objects.filter(status__in=OPEN).exists():
            return SyncTask.objects.count()
        work_off()
    raise AssertionError(f"no rest after {rounds} rounds")


def held(instance: Instance, repository: str, tag: str) -> str:
    """The digest of the tag; blank where there is none."""
    url = f"{instance.url}/v2/{repository}/manifests/{tag}"
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    answer = requests.head(url, headers={"Accept": kinds}, timeout=10)
    return answer.headers["Docker-Content-Digest"] if answer.ok else ""


def scheduled(rule):
    """What a schedule starts."""
    task = open_task(rule, Trigger.SCHEDULE, enqueue=False).task
    while run_slice(task, seconds=float("inf"), patient=True):
        pass
    task.refresh_from_db()
    return task


def retag(instance, repository, digest, tag):
    kind = "application/vnd.oci.image.manifest.v1+json"
    url = f"{instance.url}/v2/{repository}/manifests"
    body = requests.get(f"{url}/{digest}", headers={"Accept": kind}, timeout=10).content
    assert requests.put(f"{url}/{tag}", data=body, headers={"Content-Type": kind}, timeout=10).ok
