"""Two rules at once, into one target: what both need moves once (P-11)."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from demo import artifacts
from sync.replication.whereabouts import Hints, Whereabouts
from sync.shared import shared_hints
from tests.fakes.registry import Answer, Received
from tests.replication.support import Ran, lacking, push, replicate, some_layer
from tests.support import Relay

pytestmark = pytest.mark.usefixtures("valkey", "quick_backoff")


def replicate_both(source: str, target: str, names: list[str]) -> list[Ran]:
    """Each as a worker of its own: they know of each other what the queue's server tells them."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        workers: list[Whereabouts] = [stack.enter_context(shared_hints(1, Hints())) for _ in names]
        runs = [
            pool.submit(replicate, source, target, source_namespace=name, hints=hints)
            for name, hints in zip(names, workers, strict=True)
        ]
        return [run.result() for run in runs]


def both_begin(relay: Relay, names: list[str]) -> None:
    """Neither reads its first manifest before the other does."""
    together = Barrier(2)

    def meet(request: Received) -> Answer:
        together.wait(10)
        return relay.forward(request)

    for name in names:
        relay.script("GET", f"/v2/{name}/web/manifests/v1", meet)


@pytest.fixture
def names(namespace):
    return [f"{namespace}-a", f"{namespace}-b"]


def test_two_workers_bring_a_shared_layer_once(source, target, names):
    shared = some_layer(2_000_000)
    images = [push(source, f"{name}/web", "v1", artifacts.image([shared, some_layer()])) for name in names]
    with Relay(source) as from_, Relay(target) as to:
        both_begin(from_, names)
        ran = replicate_both(from_.url, to.url, names)
        read = [one for one in from_.received("GET") if one.target.endswith(shared.digest)]
        ended = [one for one in to.received("PUT") if one.target.endswith(shared.digest.removeprefix("sha256:"))]
    assert [set(one.outcomes.values()) for one in ran] == [{"copied"}] * 2
    assert (len(read), len(ended)) == (1, 1)
    assert [lacking(target, f"{name}/web", image) for name, image in zip(names, images, strict=True)] == [[], []]


def test_a_worker_that_waited_for_another_in_vain_brings_it_itself(source, target, names):
    """Whoever comes first fails for good; the one that waited does not."""
    shared = some_layer(2_000_000)
    for name in names:
        push(source, f"{name}/web", "v1", artifacts.image([shared]))
    with Relay(source) as from_, Relay(target) as to:
        both_begin(from_, names)
        refused: list[str] = []

        def refuse_the_first(request: Received) -> Answer:
            if request.target.endswith(shared.digest.removeprefix("sha256:")) and not refused:
                refused.append(request.target)
                return Answer(403)
            return to.forward(request)

        to.script("PUT", "/v2/", refuse_the_first)
        ran = replicate_both(from_.url, to.url, names)
    failed = next(name for name in names if refused[0].startswith(f"/v2/{name}/"))
    outcomes = {name: one.outcomes[f"{name}/web:v1"] for name, one in zip(names, ran, strict=True)}
    assert outcomes == {name: "failed" if name == failed else "copied" for name in names}
