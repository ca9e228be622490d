import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import (
    Denied,
    DigestMismatch,
    InvalidManifest,
    ManifestTooLarge,
    Rejected,
    ServerFault,
    UnsupportedManifest,
)
from sync.oci.manifest import ACCEPT, OCI_INDEX, OCI_MANIFEST, Descriptor
from sync.oci.reference import InvalidReference, digest_of
from tests.fakes.registry import Answer
from tests.oci.artifacts import blob, document, entry, image, index

MANIFEST = image(blob(b"layer"))
TYPED = {"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"}
DIGEST = {"Docker-Content-Digest": MANIFEST.digest}
SHA512 = "sha512:" + "0" * 128


def source(fake, **options) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="source", **options)


def target(fake) -> Client:
    return Client(Endpoint(fake.url, name="prod"), side="target")


def test_one_head_tells_what_a_tag_is(fake):
    fake.script("HEAD", "/v2/a/manifests/v1", Answer(200, {**TYPED, **DIGEST, "Content-Length": "77"}))
    assert source(fake).head_manifest("a", "v1") == Descriptor(OCI_MANIFEST, MANIFEST.digest, 77)
    (only,) = fake.requests
    assert only.headers["Accept"] == ACCEPT


@pytest.mark.parametrize(
    "head",
    [Answer(200, TYPED), Answer(405), Answer(400), Answer(200, {**DIGEST, "Content-Length": "0"}),
     Answer(200, {"Docker-Content-Digest": "sha256:short"})],
)  # fmt: skip
def test_where_head_does_not_tell_get_is_asked(fake, head):
    fake.script("HEAD", "/v2/a/manifests/v1", head)
    fake.script("GET", "/v2/a/manifests/v1", Answer(200, TYPED, MANIFEST.body))
    assert source(fake).head_manifest("a", "v1") == MANIFEST.descriptor


def test_absent_manifests(fake):
    assert source(fake).head_manifest("a", "v1") is None
    fake.script("HEAD", "/v2/a/manifests/v2", Answer(405))
    assert source(fake).head_manifest("a", "v2") is None


def test_no_right_to_look_is_not_absence(fake):
    fake.script("HEAD", "/v2/a/manifests/v1", Answer(403))
    with pytest.raises(Denied):
        target(fake).head_manifest("a", "v1")
    with pytest.raises(Denied, match="Source prod: cannot look up manifest a:v1"):
        source(fake).head_manifest("a", "v1")


@pytest.mark.parametrize(
    ("repository", "reference"), [("../x", "v1"), ("a", "../../v2/_catalog"), ("a", "sha256:12"), ("a", "")]
)
def test_names_that_would_change_the_url_are_refused_before_any_request(fake, repository, reference):
    for call in (source(fake).head_manifest, source(fake).get_manifest):
        with pytest.raises(InvalidReference):
            call(repository, reference)
    with pytest.raises(InvalidReference):
        target(fake).put_manifest(repository, reference, MANIFEST)
    assert fake.requests == []


def test_manifest_is_read_byte_for_byte(fake):
    fake.script("GET", "/v2/a/manifests/", Answer(200, {"Content-Type": "text/plain", **DIGEST}, MANIFEST.body))
    for reference in ("v1", MANIFEST.digest):
        read = source(fake).get_manifest("a", reference)
        assert (read.body, read.media_type, read.digest) == (MANIFEST.body, OCI_MANIFEST, MANIFEST.digest)


@pytest.mark.parametrize("reference", ["v1", MANIFEST.digest])
def test_manifest_with_another_digest_is_refused(fake, reference):
    fake.script("GET", "/v2/a/manifests/", Answer(200, {**TYPED, **DIGEST}, MANIFEST.body + b" "))
    with pytest.raises(DigestMismatch, match="Source prod: cannot read manifest a") as caught:
        source(fake).get_manifest("a", reference)
    assert caught.value.retryable


def test_manifest_over_the_limit_is_refused(fake):
    fake.script("GET", "/v2/a/manifests/v1", Answer(200, TYPED, MANIFEST.body))
    assert source(fake, manifest_limit=MANIFEST.size).get_manifest("a", "v1").digest == MANIFEST.digest
    with pytest.raises(ManifestTooLarge, match=f"larger than {MANIFEST.size - 1} bytes"):
        source(fake, manifest_limit=MANIFEST.size - 1).get_manifest("a", "v1")


def test_bad_manifests_are_named(fake):
    fake.script("GET", "/v2/a/manifests/html", Answer(200, TYPED, b"<html>"))
    fake.script("GET", "/v2/a/manifests/old", Answer(200, DIGEST, document({"schemaVersion": 1})))
    with pytest.raises(InvalidManifest, match="cannot read manifest a:html: the manifest is not"):
        source(fake).get_manifest("a", "html")
    with pytest.raises(UnsupportedManifest, match=r"cannot read manifest a:old: .*schema 1"):
        source(fake).get_manifest("a", "old")


def test_manifest_is_written_as_it_is_and_its_digest_confirmed(fake):
    fake.script("PUT", "/v2/a/manifests/v1", Answer(201, {**DIGEST, "OCI-Subject": MANIFEST.digest}))
    assert target(fake).put_manifest("a", "v1", MANIFEST).subject_noted
    (only,) = fake.requests
    assert (only.body, only.headers["Content-Type"]) == (MANIFEST.body, OCI_MANIFEST)


def test_target_that_tells_no_digest_is_asked(fake):
    fake.script("PUT", "/v2/a/manifests/v1", Answer(201))
    fake.script("HEAD", "/v2/a/manifests/v1", Answer(200, DIGEST | {"Content-Length": "5"}))
    pushed = target(fake).put_manifest("a", "v1", MANIFEST)
    assert (pushed.digest, pushed.subject_noted) == (MANIFEST.digest, False)


@pytest.mark.parametrize("head", [404, 200])
def test_target_with_another_digest_is_a_failure(fake, head):
    fake.script("PUT", "/v2/a/manifests/v1", Answer(201))
    fake.script(
        "HEAD", "/v2/a/manifests/v1", Answer(head, {"Docker-Content-Digest": digest_of(b"x"), "Content-Length": "5"})
    )
    with pytest.raises(DigestMismatch, match="Target prod: cannot write manifest a:v1"):
        target(fake).put_manifest("a", "v1", MANIFEST)


def test_target_may_answer_by_another_algorithm(fake):
    fake.script("PUT", "/v2/", Answer(201, {"Docker-Content-Digest": digest_of(MANIFEST.body, SHA512)}))
    assert target(fake).put_manifest("a", "v1", MANIFEST).digest == MANIFEST.digest


def test_manifest_put_survives_a_passing_fault_but_not_a_refusal(fake):
    fake.script("PUT", "/v2/a/manifests/v1", Answer(500), Answer(201, DIGEST))
    target(fake).put_manifest("a", "v1", MANIFEST)
    fake.script("PUT", "/v2/a/manifests/v2", Answer(400, body=b'{"errors":[{"code":"MANIFEST_INVALID"}]}'))
    with pytest.raises(Rejected) as caught:
        target(fake).put_manifest("a", "v2", MANIFEST)
    assert (caught.value.code, caught.value.retryable) == ("MANIFEST_INVALID", False)
    assert len(fake.received("PUT", "/v2/a/manifests/v2")) == 1


# referrers

SIGNATURE = image(blob(b"sig"), subject=entry(MANIFEST.descriptor), artifactType="application/sig")
REFERRERS = f"/v2/a/referrers/{MANIFEST.digest}"


def test_referrers_are_read_page_by_page(fake):
    page = index(SIGNATURE)
    fake.script("GET", REFERRERS, Answer(200, {"Content-Type": OCI_INDEX, "Link": '<?p=2>; rel="next"'}, page.body))
    fake.script("GET", f"{REFERRERS}?p=2", Answer(200, {"Content-Type": OCI_INDEX}, index(MANIFEST).body))
    found = source(fake).referrers("a", MANIFEST.digest)
    assert found is not None
    assert [one.digest for one in found] == [SIGNATURE.digest, MANIFEST.digest]


def test_no_referrers_is_an_empty_list(fake):
    fake.script("GET", REFERRERS, Answer(200, {"Content-Type": OCI_INDEX}, index().body))
    assert source(fake).referrers("a", MANIFEST.digest) == []


@pytest.mark.parametrize(
    "answer",
    [*map(Answer, (400, 401, 403, 404, 405, 406)), Answer(200, {"Content-Type": "text/html"}, b"<html>"),
     Answer(200, {}, b"{}"), Answer(200, {}, MANIFEST.body)],
)  # fmt: skip
def test_missing_referrers_api_is_remembered_per_repository(fake, answer):
    fake.script("GET", "/v2/a/referrers/", answer)
    client = source(fake)
    assert client.referrers("a", MANIFEST.digest) is None
    asked = len(fake.requests)
    assert client.referrers("a", SIGNATURE.digest) is None
    assert len(fake.requests) == asked
    assert client.referrers("b", SIGNATURE.digest) is None
    assert len(fake.requests) > asked


def test_passing_fault_does_not_mean_that_the_api_is_missing(fake):
    fake.script("GET", REFERRERS, *[Answer(503)] * 4, Answer(200, {}, index(SIGNATURE).body))
    client = source(fake)
    with pytest.raises(ServerFault):
        client.referrers("a", MANIFEST.digest)
    assert client.referrers("a", MANIFEST.digest) is not None


def test_endless_referrers_end(fake, monkeypatch):
    monkeypatch.setattr("sync.oci.manifest_api.REFERRER_PAGES", 3)
    fake.script("GET", REFERRERS, Answer(200, {"Link": '<?p=2>; rel="next"'}, index(SIGNATURE).body))
    with pytest.raises(Exception, match="does not end"):
        source(fake).referrers("a", MANIFEST.digest)
