"""Nothing is written twice, and nothing moves that the target has anywhere."""

from collections import Counter
from threading import Barrier
from urllib.parse import parse_qs, urlsplit

from demo import artifacts
from sync.replication.whereabouts import Hints
from tests.fakes.registry import Answer, Received
from tests.replication import support
from tests.replication.support import all_digests, push, replicate
from tests.support import Relay


def writes(relay: Relay) -> Counter[tuple[str, str]]:
    """How often each digest, or tag, was sent to the target: (kind of request, what)."""
    sent: Counter[tuple[str, str]] = Counter()
    for one in (*relay.received("POST"), *relay.received("PUT")):
        url = urlsplit(one.target)
        query = parse_qs(url.query)
        if "/manifests/" in url.path:
            sent["manifest", url.path.rpartition("/")[2]] += 1
        elif one.method == "POST":
            sent["begun", query["mount"][0]] += 1
        else:
            sent["blob", query["digest"][0]] += 1
    return sent


def meeting(relay: Relay, prefix: str) -> None:
    """Two copies begin at the same moment: their roots are handed out together."""
    together = Barrier(2)

    def meet(request: Received) -> Answer:
        together.wait(10)
        return relay.forward(request)

    relay.script("GET", prefix, meet)


def test_two_tags_of_one_index_write_each_part_once(source, target, namespace, judge, tmp_path):
    name = f"{namespace}/web"
    index = support.some_index()
    for tag in ("v1", "v2"):
        push(source, name, tag, index)
    with Relay(source) as from_, Relay(target) as to:
        meeting(from_, f"/v2/{name}/manifests/v")
        ran = replicate(from_.url, to.url, source_namespace=namespace)
        sent = writes(to)
    assert set(ran.outcomes.values()) == {"copied"}
    blobs = {blob.digest for child in index.children for blob in child.blobs}
    expected = {("manifest", name) for name in ("v1", "v2", *(child.digest for child in index.children))}
    expected |= {(kind, digest) for kind in ("begun", "blob") for digest in blobs}
    assert sent == dict.fromkeys(expected, 1)
    for tag in ("v1", "v2"):
        assert judge.pull(target, f"{name}:{tag}", tmp_path / tag) == all_digests(index)


def test_two_images_of_one_repository_write_their_common_layer_once(source, target, namespace, judge):
    name = f"{namespace}/web"
    shared = support.some_layer(300_000)
    images = {tag: push(source, name, tag, artifacts.image([shared, support.some_layer()])) for tag in ("v1", "v2")}
    with Relay(source) as from_, Relay(target) as to:
        meeting(from_, f"/v2/{name}/manifests/v")
        replicate(from_.url, to.url, source_namespace=namespace)
        sent = writes(to)
    assert (sent["begun", shared.digest], sent["blob", shared.digest]) == (1, 1)
    assert max(sent.values()) == 1
    assert {tag: judge.digest(target, f"{name}:{tag}") for tag in images} == {
        tag: image.digest for tag, image in images.items()
    }


def test_what_an_earlier_run_brought_is_mounted_into_another_namespace(source, target, namespace, judge, tmp_path):
    index = push(source, f"{namespace}/web", "v1", support.some_index())
    hints = Hints()
    first = replicate(source, target, source_namespace=namespace, hints=hints)
    assert first.moved_bytes > 0
    second = replicate(source, target, source_namespace=namespace, target_namespace=f"mirror-{namespace}", hints=hints)
    assert (second.outcomes, second.moved_bytes) == ({f"{namespace}/web:v1": "copied"}, 0)
    assert judge.pull(target, f"mirror-{namespace}/web:v1", tmp_path / "pulled") == all_digests(index)


def test_a_wrong_hint_costs_a_request_and_nothing_else(source, target, namespace, judge, tmp_path):
    image = push(source, f"{namespace}/web", "v1", support.some_image())
    hints = Hints()
    for blob in image.blobs:
        hints.keeps(blob.digest, f"{namespace}/never-there")
    with Relay(target) as relay:
        ran = replicate(source, relay.url, source_namespace=namespace, hints=hints)
        assert all("never-there" in one.target for one in relay.received("POST"))
        assert len(relay.received("POST")) == len(image.blobs)
    assert (ran.outcomes, ran.moved_bytes) == (
        {f"{namespace}/web:v1": "copied"},
        sum(len(blob.data) for blob in image.blobs),
    )
    assert judge.pull(target, f"{namespace}/web:v1", tmp_path / "pulled") == all_digests(image)
    assert {hints.kept_in(blob.digest) for blob in image.blobs} == {f"{namespace}/web"}


def test_hints_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(Hints, "LIMIT", 3)
    hints = Hints()
    for number in range(10):
        hints.keeps(f"sha256:{number}", "prod/web")
        assert 0 < len(hints) <= 3
    assert hints.kept_in("sha256:9") == "prod/web"
