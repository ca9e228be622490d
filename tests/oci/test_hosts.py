"""Hosts are found in sentences by their looks; names of repositories, tags, digests and files are none."""

import pytest

from sync.oci.hosts import HIDDEN, marked, without_hosts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("no connection to registry.inner.example:5000, again", f"no connection to {HIDDEN}, again"),
        ("Registry.Inner.Example is away.", f"{HIDDEN} is away."),
        ("at data.inner.svc.cluster.local.", f"at {HIDDEN}."),
        ("it leads to https://store.inner.example/a/b?x=1, which asks", f"it leads to {HIDDEN} which asks"),
        ("“Get http://registry:5000/v2/”: refused", f"“Get {HIDDEN}”: refused"),
        ("dial tcp 10.0.0.7:443: connect: refused", f"dial tcp {HIDDEN}: connect: refused"),
        ("lookup one.example on 10.0.0.2:53: no such host", f"lookup {HIDDEN} on {HIDDEN}: no such host"),
        ("leads to 169.254.169.254, which", f"leads to {HIDDEN}, which"),
        ("dial tcp [fd00::7]:443: refused", f"dial tcp {HIDDEN}: refused"),
        ("leads to fd00::7, which", f"leads to {HIDDEN}, which"),
        ("the registry leads elsewhere (localhost:5002)", f"the registry leads elsewhere ({HIDDEN})"),
        ("the registry leads elsewhere (‹store›)", f"the registry leads elsewhere ({HIDDEN})"),
        ("at bücher.example and xn--bcher-kva.example", f"at {HIDDEN} and {HIDDEN}"),
    ],
)
def test_what_looks_like_a_host_goes(text, left):
    assert without_hosts(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "prod/web/nginx:1.25.3 was copied",
        "cannot push manifest prod/my.app/web:v1.2.3-rc.one",
        "prod/web:2024 and prod/web:latest",
        "prod/web@sha256:" + "a1" * 32,
        "sha256-" + "a1" * 32 + ".sig was copied",
        "its index.yaml is no YAML, chart web-1.2.3.tgz",
        "the media type application/vnd.oci.image.manifest.v1+json",
        "the registry answered 500 UNKNOWN “at 12:30:45, 3.5 MB of 1.25 GB, v1.2.3”",
        "Source one: cannot read manifest prod/web:1.0: the host name is not known. Check the address.",
        "HTTP/1.1 by TLS 1.3",
    ],
)
def test_what_is_none_stays(text):
    assert without_hosts(text) == text


def test_hosts_that_may_be_told_stay_with_and_without_a_port():
    own = {"one.example", "one.example:5000", "registry:5000"}.__contains__
    text = "One.Example:5000, one.example, http://registry:5000/v2/, one.example:5001, two.one.example"
    assert without_hosts(text, own) == (f"One.Example:5000, one.example, http://registry:5000/v2/, {HIDDEN}, {HIDDEN}")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("one.example", "one.example"),
        ("registry:5000", "registry:5000"),
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::7", "fd00::7"),
        ("registry", "‹registry›"),
        ("store.gz", "‹store.gz›"),
    ],
)
def test_a_host_without_the_looks_of_one_is_marked(host, told):
    assert marked(host) == told
    assert without_hosts(f"it is {told}.") == f"it is {HIDDEN}."
