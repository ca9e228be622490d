import pytest

from sync.oci.reference import (
    InvalidReference,
    Reference,
    check_repository,
    check_tag,
    digest_of,
    digest_tags,
    hasher,
    in_namespace,
    is_digest_tag,
    is_loopback,
    join_namespace,
    namespaces_of,
    normalize_address,
    parse_digest,
)

SHA256 = "sha256:" + "0a" * 32
SHA512 = "sha512:" + "0a" * 64


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_digests_of_both_algorithms_are_taken(digest):
    assert parse_digest(digest) == digest
    assert hasher(digest).name == digest.partition(":")[0]
    assert digest_of(b"x", like=digest).startswith(digest.partition(":")[0])


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", SHA256.upper(), "sha256:" + "0A" * 32, SHA256 + "\n", SHA256 + "0", "md5:" + "0" * 32,
     "sha256:../../" + "0" * 58, "sha512:" + "0" * 64],
)  # fmt: skip
def test_other_digests_are_refused(digest):
    with pytest.raises(InvalidReference, match="not a digest"):
        parse_digest(digest)


@pytest.mark.parametrize("name", ["a", "a/b/c", "a.b_c__d-e--f/0", "x" * 255])
def test_repository_names(name):
    assert check_repository(name) == name


@pytest.mark.parametrize(
    "name", ["", "/", "A", "a/", "/a", "a//b", "a..b", "a___b", "-a", "a-", "a/../b", "é", "a\n", "x" * 256]
)
def test_no_repository_names(name):
    with pytest.raises(InvalidReference):
        check_repository(name)


@pytest.mark.parametrize("tag", ["latest", "_1", "V1.0-rc.1", "x" * 128])
def test_tags(tag):
    assert check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a/b", "a:b", "a\n", "../x", "x" * 129])
def test_no_tags(tag):
    with pytest.raises(InvalidReference):
        check_tag(tag)


def test_digest_tags_start_with_the_fallback_tag():
    tags = digest_tags(SHA256)
    assert tags == tuple(f"sha256-{'0a' * 32}{suffix}" for suffix in ("", ".sig", ".att", ".sbom"))
    assert all(map(is_digest_tag, tags))
    assert digest_tags(SHA512)[0] == "sha512-" + "0a" * 32
    assert not any(map(is_digest_tag, ["latest", "sha256-abc", tags[0] + ".other"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", ("docker.io", "library/nginx", "", "")),
        ("nginx:1", ("docker.io", "library/nginx", "1", "")),
        ("index.docker.io/nginx", ("docker.io", "library/nginx", "", "")),
        ("registry-1.docker.io/a/b:c", ("docker.io", "a/b", "c", "")),
        ("a/b", ("docker.io", "a/b", "", "")),
        ("localhost/a", ("localhost", "a", "", "")),
        ("Host.Example/a:T", ("host.example", "a", "T", "")),
        ("https://host.example/a/b", ("host.example", "a/b", "", "")),
        ("host:5000/a/b:tag@" + SHA256, ("host:5000", "a/b", "tag", SHA256)),
        ("host.example:443/a@" + SHA512, ("host.example", "a", "", SHA512)),
        ("[::1]:5000/a:b", ("[::1]:5000", "a", "b", "")),
    ],
)
def test_references(text, expected):
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == expected
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["", "A", "host:5000/", "host:99999/a", "a:b:c", "a@sha256:1", "a:", "u:p@host/a", "[::1/a"]
)
def test_no_references(text):
    with pytest.raises(InvalidReference):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        (" Registry.Example:443/ ", "https://registry.example"),
        ("https://x/", "https://x"),
        ("http://x:80", "http://x"),
        ("HTTP://x:5000", "http://x:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("https://localhost", "https://localhost"),
        ("docker.io", "https://registry-1.docker.io"),
        ("https://index.docker.io", "https://registry-1.docker.io"),
        ("10.0.0.1", "https://10.0.0.1"),
    ],
)
def test_typed_addresses(typed, url):
    assert normalize_address(typed) == url


@pytest.mark.parametrize(
    "typed",
    ["", "https://", "ftp://x", "file:///etc/passwd", "https://user:secret@x", "user@x", "x/path", "https://x/v2/a",
     "x?a=b", "x#a", "169.254.169.254", "http://[fe80::1]", "[::ffff:169.254.1.1]", "x:0", "x:99999", "x:abc", "a b",
     "127.1", "2852039166", "0xa9.0xfe.0xa9.0xfe", "-x", "x..y", "é.example"],
)  # fmt: skip
def test_typed_nonsense_is_refused_without_repeating_secrets(typed):
    with pytest.raises(InvalidReference) as caught:
        normalize_address(typed)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "typed", ["javascript:alert(1)", "host:port", "x:99999", "https://me:secret@x:abc", "[::1", "https://[x]"]
)
def test_what_is_no_address_is_told_in_our_own_words(typed):
    with pytest.raises(InvalidReference) as caught:
        normalize_address(typed)
    assert str(caught.value).startswith("This is not an address: give the name of a host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://localhost", True), ("http://a.localhost:1", True), ("http://127.9.9.9", True),
     ("http://localhost.", True), ("http://127.0.0.1.", True), ("http://[::1]:5", True),
     ("http://0.0.0.0", True), ("http://[::ffff:127.0.0.1]", True),
     ("http://localhost.example", False), ("http://10.0.0.1", False)],
)  # fmt: skip
def test_loopback(url, expected):
    assert is_loopback(url) is expected


@pytest.mark.parametrize(
    ("repository", "namespace", "rest"),
    [
        ("prod/web/nginx", "prod", "web/nginx"),
        ("prod/web/nginx", "prod/web", "nginx"),
        ("prod/web", "prod/web", None),
        ("production/web", "prod", None),
        ("busybox", "/", "busybox"),
        ("prod/web", "/", None),
    ],
)
def test_namespaces_hold_repositories(repository, namespace, rest):
    assert in_namespace(repository, namespace) == rest
    if rest:
        assert join_namespace(namespace, rest) == repository


def test_every_prefix_is_a_namespace():
    named = ["prod/web/nginx", "prod/api", "busybox", "base/a"]
    assert list(namespaces_of(named).items()) == [("/", 1), ("base", 1), ("prod", 2), ("prod/web", 1)]
    assert namespaces_of([]) == {}
