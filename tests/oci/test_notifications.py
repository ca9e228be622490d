"""Bodies as registries send them: CNCF distribution 2.8 and 3, Harbor 1.9 to 2.x, TCR, zot; and those of scripts."""

import json
from typing import Any

import pytest

from sync.oci.notifications import MOST_EVENTS, NotUnderstood, Told, parse

IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def told(document: Any, event_type: str = "") -> list[Told]:
    return parse(json.dumps(document).encode(), event_type)


def event(action: str, path: str = "manifests", actor: str = "", **target: Any) -> dict[str, Any]:
    """One event of distribution's envelope, notifications/event.go."""
    url = f"http://registry:5000/v2/{target.get('repository')}/{path}/{target.get('digest')}"
    return {
        "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
        "timestamp": "2026-11-28T07:22:58.120734Z",
        "action": action,
        "target": {"size": 708, "length": 708, "url": url, **target},
        "request": {"id": "6df24a34", "addr": "10.0.0.9:39700", "host": "registry:5000", "method": "PUT"},
        "actor": {"name": actor} if actor else {},
        "source": {"addr": "registry:5000", "instanceID": "a53db899-3b4b-4a62-a067-8dd013beaca4"},
    }


def harbor(kind: str, *resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    repository = {
        "date_created": 1680501893,
        "name": "nginx",
        "namespace": "prod",
        "repo_full_name": "prod/web/nginx",
        "repo_type": "private",
    }
    data = {"resources": list(resources), "repository": repository}
    return {"type": kind, "occur_at": 1680502598, "operator": "admin", "event_data": data, **more}


def resource(tag: str, digest: str = DIGEST) -> dict[str, Any]:
    return {"digest": digest, "tag": tag, "resource_url": f"harbor.example/prod/web/nginx:{tag}"}


def cloud(kind: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "4b2f89a6-548d-4c12-9993-a1f5790b97d2",
        "source": "/projects/1/webhook/policies/3",
        "type": kind,
        "datacontenttype": "application/json",
        "time": "2026-11-28T06:08:43Z",
        "data": data,
        **more,
    }


def of_zot(reference: str, **more: str) -> dict[str, str]:
    return {"name": "prod/web", "reference": reference, "digest": DIGEST, "mediaType": INDEX, **more}


def test_distribution_one_push_of_an_index_and_its_child():
    envelope = {
        "events": [
            event("push", "blobs", mediaType="application/octet-stream", digest=OTHER, repository="prod/web"),
            event("push", mediaType=IMAGE, digest=OTHER, repository="prod/web"),
            event("mount", "blobs", mediaType="application/octet-stream", digest=OTHER, repository="prod/web"),
            event("push", mediaType=INDEX, digest=DIGEST, repository="prod/web", tag="v1", actor="robot"),
            event("pull", mediaType=INDEX, digest=DIGEST, repository="prod/web", tag="v1"),
        ]
    }
    assert told(envelope) == [
        Told("push", "prod/web", "", OTHER, "", IMAGE),
        Told("push", "prod/web", "v1", DIGEST, "robot", INDEX),
    ]


def test_distribution_deletions_name_a_digest_or_a_tag():
    of_digest, of_tag = event("delete", digest=DIGEST, repository="a"), event("delete", repository="a", tag="v1")
    for one in (of_digest, of_tag):
        del one["target"]["url"]
    assert told({"events": [of_digest, of_tag]}) == [
        Told("delete", "a", "", DIGEST),
        Told("delete", "a", "v1", ""),
    ]


@pytest.mark.parametrize("envelope", [{"events": []}, {"events": None}, {"events": [event("pull", repository="a")]}])
def test_what_nobody_asked_for_is_nothing(envelope):
    assert told(envelope) == []


@pytest.mark.parametrize("kind", ["PUSH_ARTIFACT", "pushImage", "UPLOAD_CHART", "uploadChart"])
def test_harbor_and_tcr_pushes(kind):
    pushed = told(harbor(kind, resource("1.0"), resource("1", OTHER)))
    assert pushed == [
        Told("push", "prod/web/nginx", "1.0", DIGEST, "admin"),
        Told("push", "prod/web/nginx", "1", OTHER, "admin"),
    ]


@pytest.mark.parametrize("kind", ["DELETE_ARTIFACT", "deleteImage", "DELETE_CHART", "deleteChart"])
def test_harbor_and_tcr_deletions_take_every_tag_of_the_digest(kind):
    assert told(harbor(kind, resource("1.0"))) == [
        Told("delete", "prod/web/nginx", "1.0", DIGEST, "admin"),
        Told("delete", "prod/web/nginx", "", DIGEST, "admin"),
    ]
    assert told(harbor(kind, resource(DIGEST))) == [Told("delete", "prod/web/nginx", "", DIGEST, "admin")]


def test_harbor_without_tag_has_the_digest_in_its_place():
    assert told(harbor("PUSH_ARTIFACT", resource(DIGEST))) == [Told("push", "prod/web/nginx", "", DIGEST, "admin")]


def test_a_chart_of_the_old_kind_has_no_digest_and_a_version_with_a_plus():
    uploaded = harbor("UPLOAD_CHART", {"tag": "1.0.0+build", "resource_url": "https://harbor/chartrepo/prod/nginx.tgz"})
    assert told(uploaded) == [Told("push", "prod/web/nginx", "1.0.0_build", "", "admin")]


def test_harbor_without_the_full_name():
    pushed = harbor("PUSH_ARTIFACT", resource("1.0"))
    del pushed["event_data"]["repository"]["repo_full_name"]
    assert [one.repository for one in told(pushed)] == ["prod/nginx"]


@pytest.mark.parametrize(
    "kind", ["PULL_ARTIFACT", "SCANNING_COMPLETED", "QUOTA_EXCEED", "testEndpoint", "downloadChart"]
)
def test_harbor_tells_of_other_things_as_well(kind):
    assert told(harbor(kind, resource("1.0"))) == []


def test_harbor_test_button_has_no_data():
    assert told({"type": "testEndpoint", "occur_at": 1680502598, "operator": "admin"}) == []


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("harbor.artifact.pushed", ["push"]),
        ("harbor.tag.created", ["push"]),
        ("harbor.artifact.deleted", ["delete", "delete"]),
        ("harbor.artifact.pulled", []),
        ("harbor.scan.completed", []),
        ("harbor.replication.status.changed", []),
    ],
)
def test_harbor_cloud_events(kind, actions):
    data = harbor("", resource("3.8"))["event_data"]
    found = told(cloud(kind, data, operator="harbor-jobservice"))
    assert [one.action for one in found] == actions
    assert found == [] or found[0] == Told(actions[0], "prod/web/nginx", "3.8", DIGEST, "harbor-jobservice")


@pytest.mark.parametrize("prefix", ["zotregistry", "com.example.registry"])
def test_zot_in_binary_mode_has_the_type_in_a_header(prefix):
    pushed, child = of_zot("v1", manifest="{}"), of_zot(DIGEST)
    assert told(pushed, f"{prefix}.image.updated") == [Told("push", "prod/web", "v1", DIGEST, "", INDEX)]
    assert told(child, f"{prefix}.image.updated") == [Told("push", "prod/web", "", DIGEST, "", INDEX)]
    assert told(pushed, f"{prefix}.image.deleted") == [Told("delete", "prod/web", "v1", DIGEST, "", INDEX)]
    assert told({"name": "prod/web"}, f"{prefix}.repository.created") == []
    assert told(pushed, f"{prefix}.image.lint_failed") == []


def test_zot_in_structured_mode_and_in_a_batch():
    one = cloud("zotregistry.image.updated", of_zot("v1"))
    assert told(one) == [Told("push", "prod/web", "v1", DIGEST, "", INDEX)]
    assert told([one, one]) == told(one) * 2


def test_scripts_say_it_plainly():
    assert told({"repository": "prod/web", "tag": "v1"}) == [Told("push", "prod/web", "v1")]
    assert told(
        [{"repository": "a", "tag": "1", "digest": DIGEST, "actor": "ci"}, {"repository": "b", "tag": "2"}]
    ) == [
        Told("push", "a", "1", DIGEST, "ci"),
        Told("push", "b", "2"),
    ]
    assert told({"action": "delete", "repository": "a", "digest": DIGEST}) == [Told("delete", "a", "", DIGEST)]
    assert told([]) == []
    assert told({"repository": "charts/web", "tag": "1.0.0+b.1"}) == [Told("push", "charts/web", "1.0.0_b.1")]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"repository": "Prod", "tag": "1"}, "'Prod' is not a repository name"),
        ({"repository": "host:5000/a", "tag": "1"}, "is not a repository name"),
        ({"repository": "a", "tag": "-1"}, "'-1' is not a tag"),
        ({"repository": "a", "tag": "1", "digest": "sha256:1"}, "is not a digest"),
        ({"repository": "a"}, "Name the tag."),
        ({"repository": "a", "digest": DIGEST}, "Name the tag."),
        ({"repository": "a", "action": "delete"}, "Name the tag or the digest."),
        ({"repository": "a", "tag": "1", "action": "pull"}, "“action” must be push or delete."),
        ({"repository": {"name": "a"}, "tag": "1"}, "“repository” must be a text."),
        ({"repository": "a", "tag": 1}, "“tag” must be a text."),
        ([{"repository": "a", "tag": "1"}, 7], "Each item of the list must be a JSON object."),
        ({"ref": "refs/heads/main"}, "no notification of a known kind"),
        ("text", "The body must be a JSON object."),
        (None, "The body must be a JSON object."),
        ({"events": "push"}, "“events” must be a list."),
        ({"events": [1]}, "Each event must be a JSON object."),
        ({"events": [{"action": "push"}]}, "“target” must be a JSON object."),
        (harbor("PUSH_ARTIFACT", event_data=[]), "The event's data must be a JSON object."),
        (harbor("PUSH_ARTIFACT", event_data={"resources": {"tag": "1"}}), "“resources” must be a list."),
        (cloud("zotregistry.image.updated", {"name": 1}), "“name” must be a text."),
    ],
)
def test_what_is_not_understood_is_told(document, sentence):
    with pytest.raises(NotUnderstood) as refused:
        told(document)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xfa", b"[" * 100_000, b'{"events": ' + b"9" * 5000])
def test_what_is_not_json_is_told(body):
    with pytest.raises(NotUnderstood):
        parse(body)


def test_names_that_no_registry_can_have_are_left_out_of_what_registries_send():
    """Refused, it would be sent again for ever, and what is behind it would never come."""
    wrong = [
        event("push", mediaType=IMAGE, digest=DIGEST, repository="A/../b", tag="v1"),
        event("push", mediaType=IMAGE, digest=DIGEST, repository="a", tag="v\u0000"),
        event("push", mediaType=IMAGE, digest=DIGEST, repository="", tag="v1"),
        event("delete", repository="a"),
    ]
    right = event("push", mediaType=IMAGE, digest="md5:1", repository="a", tag="v1")
    assert told({"events": [*wrong, right]}) == [Told("push", "a", "v1", "", "", IMAGE)]


def test_an_actor_is_cut_and_has_no_control_characters():
    (one,) = told({"repository": "a", "tag": "1", "actor": "x\u0000\ud800\n" + "y" * 200})
    assert one.actor == "x" + "y" * 149


def test_a_body_holds_some_thousand_events_at_most():
    many = [{"repository": "a", "tag": "1"}] * MOST_EVENTS
    assert len(told(many)) == MOST_EVENTS
    with pytest.raises(NotUnderstood, match="More than 5000 events"):
        told([*many, many[0]])
