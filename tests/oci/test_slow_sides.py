"""One side is slow, the other closes what is idle: the transfer ends well all the same (P-09)."""

import re

from sync.oci.client import Client, Endpoint
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.fakes.uploads import ResumingRegistry
from tests.oci.artifacts import blob
from tests.oci.sending import CONTENT, LARGE, SOURCE, serve

# More than what is on its way between source and target while nobody takes it.
HUGE = bytes(range(256)) * 4096 * 32


class Hesitating(ResumingRegistry):
    """Takes nothing of a blob until the other side has given up."""

    def __init__(self, other: FakeRegistry) -> None:
        super().__init__()
        self._other = other

    def before_body(self, method: str) -> None:
        if method == "PUT":
            self._other.gave_up.wait(20)


def test_source_that_closes_while_the_target_is_slow_is_read_on_from_there(fake):
    huge = blob(HUGE)

    def from_there(request: Received) -> Answer:
        told = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"])
        start = int(told[1]) if told else 0
        return Answer(206, {"Content-Range": f"bytes {start}-{len(HUGE) - 1}/{len(HUGE)}"}, HUGE[start:])

    fake.patience = 0.3
    fake.script("GET", f"/v2/from/blobs/{huge.digest}", Answer(body=HUGE), from_there)
    with Hesitating(fake) as target:
        Client(Endpoint(target.url)).upload("a", huge, Client(Endpoint(fake.url)).blob_reader("from", huge))
        assert fake.gave_up.is_set()
        assert target.blobs == {huge.digest: HUGE}
        assert [one.method for one in target.requests] == ["POST", "PUT"]
    first, second = fake.requests
    assert first.headers["Range"] is None
    assert 0 < int(second.headers["Range"][6:-1]) < len(HUGE)


def test_target_that_closes_while_the_source_is_slow_gets_it_in_another_try(origin):
    origin.script("GET", SOURCE, Answer(body=CONTENT, stall=1_500_000), serve)
    with ResumingRegistry() as target:
        target.patience = 0.3
        origin.release = target.gave_up
        source = Client(Endpoint(origin.url, read_timeout=1)).blob_reader("from", LARGE)
        Client(Endpoint(target.url)).upload("a", LARGE, source)
        assert target.gave_up.is_set()
        assert target.blobs == {LARGE.digest: CONTENT}
        assert target.sessions == {}
