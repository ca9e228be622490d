"""Every shape of artifact arrives whole, byte for byte: judged by skopeo."""

from itertools import chain

import pytest

from demo import artifacts
from tests.replication import support
from tests.replication.support import all_digests, lacking, push, replicate
from tests.support import Relay

SHAPES = {
    "image": support.some_image,
    "docker image": lambda: support.some_image(docker=True),
    "image without layers": lambda: support.some_image(layers=0),
    "index": support.some_index,
    "docker manifest list": lambda: support.some_index(docker=True),
    "index within index": support.nested_index,
    "chart": support.some_chart,
    "other artifact": support.other,
    "artifact with empty config": lambda: support.other(empty_config=True),
}


def pulled(judge, url, name, artifact, folder):
    """What skopeo gets; it takes an index within an index one by one."""
    if not any(child.children for child in artifact.children):
        return judge.pull(url, name, folder / artifact.digest)
    repository = name.rpartition(":")[0]
    parts = [pulled(judge, url, f"{repository}@{child.digest}", child, folder) for child in artifact.children]
    return sorted({judge.digest(url, name).removeprefix("sha256:"), *chain(*parts)})


@pytest.mark.parametrize("shape", SHAPES)
def test_an_artifact_arrives_whole_and_is_unchanged_the_next_time(shape, source, target, namespace, judge, tmp_path):
    name = f"{namespace}/web/{shape.replace(' ', '-')}"
    artifact = push(source, name, "v1", SHAPES[shape]())
    ran = replicate(source, target, source_namespace=namespace, target_namespace=f"{namespace}/mirror")
    there = name.replace(namespace, f"{namespace}/mirror")
    assert ran.outcomes == {f"{name}:v1": "copied"}
    assert ran.resources[f"{name}:v1"].digest == artifact.digest == judge.digest(target, f"{there}:v1")
    assert pulled(judge, target, f"{there}:v1", artifact, tmp_path) == all_digests(artifact)
    again = replicate(source, target, source_namespace=namespace, target_namespace=f"{namespace}/mirror")
    assert (again.outcomes, again.moved_bytes) == ({f"{name}:v1": "unchanged"}, 0)


def blob_bytes(artifact):
    return sum(len(blob.data) for blob in artifact.blobs) + sum(map(blob_bytes, artifact.children))


@pytest.mark.parametrize("shape", SHAPES)
def test_its_size_is_told_whether_its_bytes_were_moved_or_there(shape, source, target, namespace):
    artifact = SHAPES[shape]()
    for tag in ("v1", "v2"):
        push(source, f"{namespace}/web", tag, artifact)
    ran = replicate(source, target, source_namespace=namespace)
    assert [one.size for one in ran.resources.values()] == [blob_bytes(artifact)] * 2
    assert ran.moved_bytes == blob_bytes(artifact), "each blob was moved once"
    again = replicate(source, target, source_namespace=namespace)
    assert {one.size for one in again.resources.values()} == {None}, "nobody read what was equal"


def test_what_is_written_in_which_order(source, target, namespace):
    """Children before their index, blobs before what names them, the tag last; nobody ever sees half an artifact."""
    push(source, f"{namespace}/web", "v1", support.nested_index())
    with Relay(target) as relay:
        replicate(source, relay.url, source_namespace=namespace)
        written = [one.target.split("/manifests/")[-1] for one in relay.received("PUT")]
    assert written[-1] == "v1"
    assert written.count("v1") == 1
    blobs = [place for place, name in enumerate(written) if "/blobs/" in name]
    assert len(blobs) == 9
    assert all(name.startswith("sha256:") for name in written[:-1] if "/blobs/" not in name)


def test_whoever_looks_at_the_tag_meanwhile_sees_the_old_or_the_new(source, target, namespace, judge):
    """P-40. At every write, and whole each time."""
    name = f"{namespace}/web"
    before, after = (push(url, name, "v1", support.some_index()) for url in (target, source))
    seen = []
    with Relay(target) as relay:

        def look(request):
            seen.append(judge.digest(target, f"{name}:v1"))
            return relay.forward(request)

        relay.script("PUT", f"/v2/{name}/", look)
        replicate(source, relay.url, source_namespace=namespace, overwrite=True)
    assert len(seen) > len(after.children)
    assert set(seen) == {before.digest}
    assert judge.digest(target, f"{name}:v1") == after.digest
    assert lacking(target, name, before) + lacking(target, name, after) == []


def test_a_blob_costs_three_requests_and_no_head(source, target, namespace):
    image = push(source, f"{namespace}/web", "v1", support.some_image())
    with Relay(target) as relay:
        replicate(source, relay.url, source_namespace=namespace, with_referrers=False)
        asked = [one.target for one in relay.received("HEAD")]
        assert asked == [f"/v2/{namespace}/web/manifests/v1"], "whether the empty list of the target is true"
        assert len(relay.received("POST")) == len(image.blobs)
        assert all("mount=" in one.target for one in relay.received("POST"))


def test_a_layer_shared_by_repositories_and_tags_moves_once(source, target, namespace, judge):
    shared = support.some_layer(200_000)
    images = {
        f"{namespace}/{name}:{tag}": push(
            source, f"{namespace}/{name}", tag, artifacts.image([shared, support.some_layer()])
        )
        for name in ("api", "web", "jobs")
        for tag in ("v1", "v2")
    }
    different = {blob.digest: len(blob.data) for image in images.values() for blob in image.blobs}
    with Relay(target) as relay:
        ran = replicate(source, relay.url, source_namespace=namespace)
        uploads = [one.target for one in relay.received("PUT") if "/blobs/" in one.target]
    assert sorted(url.partition("digest=")[2].replace("%3A", ":") for url in uploads) == sorted(different)
    assert ran.moved_bytes == sum(different.values())
    assert sum(done.moved_bytes for done in ran.resources.values()) == ran.moved_bytes
    assert {name: judge.digest(target, name) for name in images} == {name: one.digest for name, one in images.items()}


def test_within_one_instance_blobs_are_mounted_and_nothing_moves(source, namespace, judge, tmp_path):
    index = push(source, f"{namespace}/web", "v1", support.some_index())
    ran = replicate(source, source, source_namespace=namespace, target_namespace=f"other-{namespace}")
    assert (ran.outcomes, ran.moved_bytes) == ({f"{namespace}/web:v1": "copied"}, 0)
    assert judge.pull(source, f"other-{namespace}/web:v1", tmp_path / "pulled") == all_digests(index)


def test_a_copy_below_its_own_source_namespace_is_not_read_again(source, namespace, judge):
    image = push(source, f"{namespace}/web", "v1", support.some_image())
    with Relay(source) as relay:
        for outcome in ("copied", "unchanged"):
            ran = replicate(relay.url, relay.url, source_namespace=namespace, target_namespace=f"{namespace}/loop")
            assert ran.outcomes == {f"{namespace}/web:v1": outcome}
        assert relay.received("GET", f"/v2/{namespace}/loop/loop/") == []
    assert judge.digest(source, f"{namespace}/loop/web:v1") == image.digest
    assert judge.digest(source, f"{namespace}/loop/loop/web:v1") == ""


def test_repositories_at_the_top_level(source, target, namespace, judge):
    image = push(source, f"top-{namespace}", "v1", support.some_image())
    replicate(source, target, source_namespace="/", repositories=f"top-{namespace}.*", target_namespace=namespace)
    assert judge.digest(target, f"{namespace}/top-{namespace}:v1") == image.digest
    replicate(target, source, source_namespace=namespace, target_namespace="/", repositories="", tags="v1")
    assert judge.digest(source, f"top-{namespace}:v1") == image.digest
