"""Asking the caller before a tag is written where others write, too.

What the caller says stands in its database; the engine's threads do not touch that. They leave their questions here,
and the caller's thread answers all that are open at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sync.oci.errors import Cancelled

if TYPE_CHECKING:
    from sync.replication.graph import Graph, Node
    from sync.replication.lease import Lease

# Until a tag that another task is writing is asked for again.
BUSY_SECONDS = 0.3


class Answer(Enum):
    GRANTED = "granted"
    SUPERSEDED = "superseded"
    # Another task is writing it: ask again in a moment.
    BUSY = "busy"
    # The tag is ours, but what it held when it was looked at is not what is known: look at both sides once more.
    LOOK_AGAIN = "look again"


@dataclass(frozen=True)
class Question:
    """Whether `tag` may point to `digest` in the target; `there`: what it points to now, blank for nothing.

    A blank digest: whether it may be deleted. `looked`: whether the source still had the digest when both sides were
    looked at once more; None when that was not done.
    """

    repository: str
    target_repository: str
    tag: str
    digest: str
    there: str
    looked: bool | None = None


Answerer = Callable[[Sequence[Question]], Sequence[Answer]]
"""Called in the caller's thread; gives an answer to each, in their order."""


class Consent:
    """The questions that wait for an answer. Whoever got one owns the tag until its outcome is written down."""

    def __init__(self, graph: Graph, answerer: Answerer, wake: Callable[[], None]) -> None:
        self._graph = graph
        self._answerer = answerer
        self._wake = wake
        self._waiting: list[tuple[Question, Node[Answer]]] = []
        self._lock = threading.Lock()

    async def ask(self, question: Question) -> Answer:
        """Raises Cancelled when the run ends."""
        node = self._graph.node()
        with self._lock:
            self._waiting.append((question, node))
        self._wake()
        answer: Answer = await node
        return answer

    async def take(self, question: Question, lease: Lease) -> Answer:
        """Any answer but BUSY: waits until the tag is ours. Raises Cancelled."""
        while (answer := await self.ask(question)) is Answer.BUSY:
            await self._graph.sleep(BUSY_SECONDS)
            if not lease.holds():
                raise Cancelled("the worker was taken for dead, another goes on")
        return answer

    def answer(self, *, leaving: bool) -> None:
        """Answers what waits. To be called in the caller's thread, often; `leaving`: nothing is granted any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if leaving:
            for _, node in waiting:
                node.settle(error=Cancelled("stopped on request"))
            return
        answers = self._answerer([question for question, _ in waiting])
        for (_, node), answer in zip(waiting, answers, strict=True):
            node.settle(answer)
