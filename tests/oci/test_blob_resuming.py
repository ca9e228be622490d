"""Uploads that break or are forgotten, and end well: against sessions that can be resumed."""

import threading

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import Cancelled, NotFound
from tests.fakes.registry import Answer, Received
from tests.fakes.uploads import ResumingRegistry
from tests.oci.sending import CONTENT, EDGES, LARGE, MEBIBYTE, SMALL, reader, send, starts


@pytest.mark.usefixtures("in_patches")
@pytest.mark.parametrize("after", [1_500_000, len(CONTENT) - 1])
def test_interrupted_patch_goes_on_where_it_broke_and_reads_the_source_by_range(origin, monkeypatch, after):
    monkeypatch.setattr("sync.oci.blob_reading.MARK_EVERY", MEBIBYTE)
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.method for one in target.requests] == ["POST", "PATCH", "GET", "PATCH", "PUT"]
        second = target.received("PATCH")[1]
        assert second.headers["Content-Range"] == f"{after}-{len(CONTENT) - 1}"
        assert second.body == CONTENT[after:]
    assert starts(origin)[0] == 0
    assert after - 2 * MEBIBYTE < starts(origin)[1] <= after
    assert starts(origin)[1] > 0


@pytest.mark.usefixtures("in_patches")
@pytest.mark.parametrize("after", [0, 1])
def test_session_that_holds_next_to_nothing_is_begun_anew(origin, after):
    """0-0 is told of a session with no byte as well as of one with one."""
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert len(target.received("DELETE")) == 1


@pytest.mark.parametrize("after", EDGES)
def test_put_that_breaks_is_sent_anew(origin, after):
    with ResumingRegistry() as target:
        target.cut_bodies("PUT", target.uploads, after)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert target.sessions == {}


@pytest.mark.usefixtures("in_patches")
def test_session_that_is_forgotten_is_begun_anew(origin):
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, 1_500_000)
        target.script("GET", target.uploads, Answer(404))
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.body for one in target.received("PATCH")] == [CONTENT[:1_500_000], CONTENT]


@pytest.mark.parametrize("descriptor", [LARGE, SMALL], ids=["large", "small"])
def test_session_that_is_forgotten_before_its_end_is_begun_anew(origin, descriptor):
    content = reader(origin) if descriptor is LARGE else [b"small"]
    with ResumingRegistry() as target:
        client = Client(Endpoint(target.url))
        upload = client.start_upload("a")
        target.sessions.clear()
        client.upload("a", descriptor, content, upload)
        assert list(target.blobs) == [descriptor.digest]


def test_third_step_that_breaks_goes_on_in_its_middle(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.blob_sending.STEP", MEBIBYTE)
    with ResumingRegistry(most=MEBIBYTE) as target:
        target.cut_bodies("PATCH", target.uploads, None, None, 100_000)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        last = target.received("PATCH")[-1]
        assert last.headers["Content-Range"] == f"{2 * MEBIBYTE + 100_000}-{len(CONTENT) - 1}"


@pytest.mark.usefixtures("in_patches")
def test_registry_that_has_less_than_was_sent_is_asked_how_much(origin):
    """416 to a step: another worker of the registry had seen more, or less, than its answer said."""
    with ResumingRegistry() as target:
        target.cut_bodies("PATCH", target.uploads, 1_500_000)

        def tell(request: Received) -> Answer:
            answer = target._tell(request)
            target.script("GET", target.uploads, target._tell)
            return Answer(204, {**answer.headers, "Range": "0-99999"})

        target.script("GET", target.uploads, tell)
        send(origin, target)
        assert target.blobs == {LARGE.digest: CONTENT}
        assert [one.method for one in target.requests] == ["POST", "PATCH", "GET", "PATCH", "GET", "PATCH", "PUT"]


@pytest.mark.parametrize("way", ["patch", "steps"])
def test_registry_that_forgets_every_session_before_its_end_is_left(origin, monkeypatch, way):
    """Getting as far as before is no getting on: it would go round for ever."""
    monkeypatch.setattr("sync.oci.blob_sending.WHOLE_UPLOAD", len(CONTENT) - 1)
    monkeypatch.setattr("sync.oci.blob_sending.STEP", MEBIBYTE)
    with ResumingRegistry(most=MEBIBYTE if way == "steps" else None) as target:
        target.script("PUT", target.uploads, Answer(404))
        with pytest.raises(NotFound):
            send(origin, target)
        assert len(target.received("PUT")) <= 5
        assert target.sessions == {}


def test_target_that_stalls_is_left_after_the_time_limit(origin):
    with ResumingRegistry() as target:
        target.script("PUT", target.uploads, Answer(wait=True), target._complete)
        Client(Endpoint(target.url, read_timeout=0.3)).upload("a", LARGE, reader(origin))
        assert target.blobs == {LARGE.digest: CONTENT}


def test_cancelled_between_two_tries(origin, monkeypatch):
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 15.0)
    stop = threading.Event()
    with ResumingRegistry() as target:

        def fail(_: Received) -> Answer:
            stop.set()
            return Answer(503)

        target.script("PUT", target.uploads, fail)
        with pytest.raises(Cancelled):
            send(origin, target, cancelled=stop.is_set)
        assert target.sessions == {}
