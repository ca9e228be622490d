"""Registries that count pulls: what they tell of the limit in the headers of their answers, and how it is obeyed."""

import re
from dataclasses import dataclass
from typing import Any

from sync.oci.client import Client
from sync.oci.errors import TooManyRequests
from sync.oci.manifest import Manifest
from sync.oci.response import Response

# Of the limit so much is left to others who pull with the same account, percent.
RESERVE = 5
# The window moves: pulls come back one after the other. Seconds.
PAUSE = 900.0
_TOLD = re.compile(r"(\d{1,9})(?:\s*;\s*w=(\d{1,9}))?")


@dataclass(frozen=True)
class PullLimit:
    """`remaining` of `limit` pulls within a window of so many seconds."""

    limit: int
    remaining: int
    seconds: int = 0

    def __str__(self) -> str:
        hours = f" within {self.seconds / 3600:g} hours" if self.seconds else ""
        return f"{self.remaining} of {self.limit} pulls{hours} are left."

    @property
    def is_reached(self) -> bool:
        return self.remaining * 100 < self.limit * RESERVE or not self.remaining


class PullCountingClient(Client):
    """Reads no manifest when the limit of pulls is (nearly) reached; to look for one (HEAD) costs nothing (P-28)."""

    pulls: PullLimit | None = None

    def _request(self, *args: Any, **options: Any) -> Response:
        response = super()._request(*args, **options)
        self.pulls = told_in(response) or self.pulls
        return response

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        if self.pulls is not None and self.pulls.is_reached:
            with self._doing(f"read manifest {repository}:{reference}"):
                problem = f"{self.pulls.remaining} of {self.pulls.limit} pulls are left, which are kept for others"
                raise TooManyRequests(problem, retry_after=PAUSE)
        return super().get_manifest(repository, reference)


def told_in(response: Response) -> PullLimit | None:
    """What `ratelimit-limit: 100;w=21600` and `ratelimit-remaining` say, in Docker Hub's form; None without them."""
    limit, remaining = (_TOLD.match(response.header(f"ratelimit-{name}")) for name in ("limit", "remaining"))
    return PullLimit(int(limit[1]), int(remaining[1]), int(limit[2] or 0)) if limit and remaining else None
