"""A preview of a rule whose source has some hundred tags, in a console where all rules have one target.

Of 30 namespaces each rule has one: a thirtieth of the rules may write to the same names as the rule in the form.

Imported only where models can be: tests.bench.console.prepared.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.urls import reverse

from demo import artifacts
from sync.models import Instance, SyncRule
from tests.fakes.registry import Answer, FakeRegistry

REPOSITORIES, TAGS = 100, 5


@dataclass(frozen=True)
class Previewed:
    """What the form posts to `url` while somebody types, and how many other rules there are."""

    url: str
    form: dict[str, str]
    rules: int


@contextmanager
def previewed(source: Instance) -> Iterator[Previewed]:
    """Changes where the source is and what the rules write to: it is measured last."""
    names = [f"team-1/web/service-{number:03}" for number in range(REPOSITORIES)]
    with _registry(names) as near, _registry([]) as far:
        Instance.objects.filter(pk=source.pk).update(url=near.url)
        target = Instance.objects.create(name="previewed", region="region-0", url=far.url)
        SyncRule.objects.update(target=target, target_namespace="")
        form = {
            "name": "previewed",
            "source_namespace": "team-1",
            "images": "on",
            "target": str(target.pk),
            "target_namespace": "",
        }
        yield Previewed(reverse("preview-new", args=[source.name]), form, SyncRule.objects.count())


def _registry(repositories: list[str]) -> FakeRegistry:
    """It has the same image under every tag of these."""
    fake, image = FakeRegistry(), artifacts.image([artifacts.layer({"web": b"1"})])
    fake.script("GET", "/v2/", Answer())
    fake.script("GET", "/v2/_catalog", Answer(body=json.dumps({"repositories": repositories}).encode()))
    headers = {"Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
    tags = json.dumps({"tags": [f"v1.{number}" for number in range(TAGS)]}).encode()
    for name in repositories:
        fake.script("GET", f"/v2/{name}/tags/list", Answer(body=tags))
        for method in ("HEAD", "GET"):
            fake.script(method, f"/v2/{name}/manifests/", Answer(200, headers, image.body))
    return fake
