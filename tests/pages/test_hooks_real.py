"""Debian's registry sends its notifications to a console that runs: what it tells of pushes, new tags and deletions."""

from collections.abc import Callable

import pytest
import requests
from django.urls import reverse

from demo.artifacts import index
from demo.registries import Listener, RegistryServer
from sync.models import Instance, Notification
from sync.oci.client import Client
from sync.oci.manifest import Manifest
from sync.oci.places import Endpoint
from sync.services import receive
from tests.replication.support import push, some_image
from tests.support import wait_until


@pytest.fixture
def instance(transactional_db, monkeypatch) -> Instance:
    monkeypatch.setattr("sync.queue.enqueue_dispatch", lambda: True)
    return Instance.objects.create(name="prod-gz", region="ap-guangzhou", url="http://127.0.0.1:1")


@pytest.fixture
def registry(instance: Instance, live_server, start_registry: Callable[..., RegistryServer]) -> str:
    """The address of a registry that notifies the console as the page of the instance says."""
    secret = receive.make_secret(instance, "")
    listener = Listener(live_server.url + reverse("hook", args=[instance.name]), f"Bearer {secret}")
    url: str = start_registry(listener=listener).url
    return url


def told(count: int) -> list[tuple[str, str, str, str]]:
    """The notifications as soon as there are so many."""
    wait_until(lambda: Notification.objects.count() >= count, 20, f"{count} notifications")
    rows = Notification.objects.order_by("pk").values_list("action", "repository", "tag", "digest")
    return list(rows)


def test_a_push_a_new_tag_and_both_kinds_of_deletion(registry):
    image = some_image()
    push(registry, "prod/web", "v1", image)
    assert told(1) == [("push", "prod/web", "v1", image.digest)]
    client = Client(Endpoint(url=registry, name="judge"), side="target")
    client.put_manifest("prod/web", "latest", Manifest.parse(image.body, image.media_type))
    assert told(2)[1:] == [("push", "prod/web", "latest", image.digest)]
    answer = requests.delete(f"{registry}/v2/prod/web/manifests/{image.digest}", timeout=10)
    assert answer.status_code == 202
    untagged = {("delete", "prod/web", tag, "") for tag in ("v1", "latest")}
    assert set(told(5)[2:]) == {("delete", "prod/web", "", image.digest), *untagged}


def test_an_index_is_told_with_its_children_and_nothing_of_its_blobs(registry):
    whole = index([some_image(), some_image()])
    push(registry, "prod/web", "v1", whole)
    children = [("push", "prod/web", "", child.digest) for child in whole.children]
    assert told(3) == [*children, ("push", "prod/web", "v1", whole.digest)]


def test_what_was_refused_comes_again_until_it_is_taken(registry, monkeypatch):
    refused: list[str] = []
    kept = Instance.objects.get().hook_secret_hash
    Instance.objects.update(hook_secret_hash="")
    with monkeypatch.context() as patched:
        patched.setattr(receive, "sender", lambda name, _: refused.append(name))
        push(registry, "prod/web", "v1", some_image())
        wait_until(lambda: refused, 20, "a refusal")
    Instance.objects.update(hook_secret_hash=kept)
    assert [row[2] for row in told(1)] == ["v1"]
