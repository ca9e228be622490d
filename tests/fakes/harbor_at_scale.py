"""A Harbor whose one project has very many tags: python -m tests.fakes.harbor_at_scale REPOSITORIES TAGS.

As a program it says where it is, serves until its input ends, and then says what it was asked, as JSON.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from sync.oci.manifest import OCI_MANIFEST
from tests.fakes.harbor import API, PUSHED, Account, FakeHarbor
from tests.fakes.registry import Answer, Received

PROJECT, ROBOT, SECRET = "prod", "robot$console", "a-secret"
# About what Harbor tells of a usual image.
ATTRIBUTES = {
    "architecture": "amd64",
    "author": "",
    "created": PUSHED,
    "os": "linux",
    "config": {"Env": [f"SETTING_{number}=value-{number}" for number in range(30)], "Entrypoint": ["/bin/serve"]},
}


def names(repositories: int) -> Iterator[str]:
    return (f"{PROJECT}/team-{number % 20:02}/service-{number:04}" for number in range(repositories))


def tags(repository: str, number: int) -> dict[str, str]:
    """The digests; “latest” has that of the tag before it."""
    found = {f"v1.{one}": f"sha256:{sha256(f'{repository}:{one}'.encode()).hexdigest()}" for one in range(number - 1)}
    return found | {"latest": found[f"v1.{number - 2}"]}


class LargeHarbor(FakeHarbor):
    """Its artifacts came one after the other to all repositories in turn. Tags can be looked for, not pulled."""

    def __init__(self, repositories: int, number: int) -> None:
        super().__init__({ROBOT: Account(SECRET)})
        self.make(PROJECT)
        self._tags = {name: tags(name, number) for name in names(repositories)}
        self._of = {name: self._grouped(name) for name in self._tags}
        self._all = [(name, at) for at in range(number - 1) for name in self._of]
        for name in self._tags:
            self.held[name].tags = self._tags[name]

    def _grouped(self, name: str) -> list[tuple[str, list[str]]]:
        by_digest: dict[str, list[str]] = {}
        for tag, digest in self._tags[name].items():
            by_digest.setdefault(digest, []).append(tag)
        return list(by_digest.items())

    def _artifacts(self, request: Received, query: Mapping[str, str], names: Iterable[str]) -> Answer:
        asked = list(names)
        rows = (
            self._all if len(asked) == len(self._of) > 1 else [(one, at) for one in asked for at in self._places(one)]
        )
        return self._page(request, query, rows, self._form)

    def _places(self, name: str) -> range:
        return range(len(self._of[name]))

    def _form(self, row: tuple[str, int]) -> dict[str, Any]:
        name, (digest, tags) = row[0], self._of[row[0]][row[1]]
        about = {"type": "IMAGE", "digest": digest, "repository_name": name, "push_time": PUSHED, "accessories": None}
        return about | {"extra_attrs": ATTRIBUTES, "tags": [{"name": tag, "push_time": PUSHED} for tag in tags]}

    def _manifest(self, request: Received, name: str, reference: str) -> Answer:
        digest = self.held[name].tags.get(reference)
        held = {"Content-Type": OCI_MANIFEST, "Content-Length": "2", "Docker-Content-Digest": str(digest)}
        return Answer(200, held) if digest and request.method == "HEAD" else Answer(404)

    def asked(self) -> Counter[str]:
        """How often each part of it was asked."""
        found: Counter[str] = Counter()
        for one in self.requests:
            path = one.target.partition("?")[0]
            part = "project" if path.endswith(f"/{PROJECT}/artifacts") else "other" if path.startswith(API) else "oci"
            found[f"{one.method} {part}"] += 1
        return found


def main() -> None:
    with LargeHarbor(*map(int, sys.argv[1:])) as harbor:
        print(harbor.url, flush=True)
        sys.stdin.read()
        print(json.dumps(harbor.asked()), flush=True)


if __name__ == "__main__":
    main()
