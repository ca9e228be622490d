import json
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from sync.oci.client import Client, Endpoint
from sync.oci.errors import Cancelled, Denied, NotFound, ProtocolViolation, RedirectRefused
from sync.oci.list_api import Bookmark, parse_next_link, resolve_link
from sync.oci.reference import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        (['</v2/_catalog?last=b&n=2>; rel="next"'], "/v2/_catalog?last=b&n=2"),
        (["</x>;rel=next"], "/x"),
        (['</x>; REL="Next"'], "/x"),
        (['</prev>; rel="prev", </x?a=1,2>; title="a, b"; rel="last next"'], "/x?a=1,2"),
        (['</prev>; rel="prev"', "</x>; rel=next"], "/x"),
        (['</x>; rel="nextish"'], ""),
        (['</x>; title="rel=next"'], ""),
        (["garbage"], ""),
        ([], ""),
    ],
)
def test_next_links(headers, target):
    assert parse_next_link(headers) == target


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/v2/_catalog?n=2", "https://r.example:5/v2/_catalog?n=2"),
        ("_catalog?next_page=%2fx", "https://r.example:5/v2/_catalog?next_page=%2fx"),
        ("?last=b", "https://r.example:5/v2/_catalog?last=b"),
        ("http://r.example/v2/_catalog?n=2", "https://r.example:5/v2/_catalog?n=2"),
        ("https://R.example:5/v2/_catalog?n=2", "https://r.example:5/v2/_catalog?n=2"),
        ("https://r.example//evil.example/x", "https://r.example:5//evil.example/x"),
    ],
)
def test_links_stay_with_their_registry(link, expected):
    assert resolve_link(link, "https://r.example:5/v2/_catalog?n=1", "https://r.example:5") == expected


def test_links_to_other_hosts_are_refused():
    with pytest.raises(RedirectRefused):
        resolve_link("https://evil.example/v2/_catalog", "https://r.example/v2/_catalog", "https://r.example")


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/v2/_catalog", lambda client: list(client.catalog())),
        ("/v2/a/tags/list", lambda client: list(client.tags("a"))),
        ("/v2/a/referrers/", lambda client: client.referrers("a", digest_of(b"x"))),
    ],
    ids=["catalog", "tags", "referrers"],
)
def test_of_a_list_that_goes_on_elsewhere_nothing_is_taken(fake, path, ask):
    body = {"repositories": ["a"], "tags": ["v1"], "manifests": []}
    with FakeRegistry() as stranger:
        link = f'<http://localhost:{stranger.port}{path}>; rel="next"'
        fake.script("GET", path, Answer(headers={"Link": link}, body=json.dumps(body).encode()))
        with pytest.raises(RedirectRefused, match=r"lies on another host \(‹localhost›\)"):
            ask(Client(Endpoint(fake.url)))
        assert stranger.requests == []


def page(names: list[str], link: str = "") -> Answer:
    return Answer(
        headers={"Link": link} if link else {}, body=json.dumps({"repositories": names, "tags": names}).encode()
    )


def test_pages_follow_links(fake):
    fake.script(
        "GET",
        "/v2/_catalog",
        page(["a", "b"], f'<http://localhost:{fake.port}/x>; rel="prev", </v2/_catalog?p=2>;rel=next'),
    )
    fake.script("GET", "/v2/_catalog?p=2", page(["b", "c"], '<?p=3>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=3", page([]))
    assert list(Client(Endpoint(fake.url)).catalog()) == ["a", "b", "c"]
    assert fake.requests[0].target == "/v2/_catalog?n=1000"


@pytest.mark.parametrize("ceiling", [25, 50, 100])
def test_silent_ceiling_is_overcome_by_last(fake, ceiling):
    names = [f"v{number:03}" for number in range(250)]

    def capped(request: Received) -> Answer:
        last = parse_qs(urlsplit(request.target).query).get("last", [""])[0]
        return page([name for name in names if name > last][:ceiling])

    fake.script("GET", "/v2/a/tags/list", capped)
    assert list(Client(Endpoint(fake.url)).tags("a")) == names


def test_registry_that_ignores_last_is_asked_once_more_and_no_name_comes_twice(fake):
    names = [f"v{number}" for number in range(150)]
    fake.script("GET", "/v2/a/tags/list", page(names))
    assert list(Client(Endpoint(fake.url)).tags("a")) == names
    assert len(fake.requests) == 2


def test_short_list_costs_one_request(fake):
    fake.script("GET", "/v2/a/tags/list", page(["v1"]))
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1"]
    assert len(fake.requests) == 1


@pytest.mark.parametrize("names", [["a"], []])
@pytest.mark.parametrize("following", [1, 2])
def test_circle_of_links_ends(fake, names, following):
    fake.script("GET", "/v2/_catalog", page(["a"], '</v2/_catalog?p=1>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=1", page(names, f'</v2/_catalog?p={following}>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=2", page(names, '</v2/_catalog?p=1>; rel="next"'))
    with pytest.raises(ProtocolViolation, match="circle"):
        list(Client(Endpoint(fake.url)).catalog())
    assert len(fake.requests) < 20


def test_page_emptied_by_a_filter_does_not_end_the_list(fake):
    fake.script("GET", "/v2/_catalog", page(["a"], '</v2/_catalog?p=1>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=1", page([], '</v2/_catalog?p=2>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=2", page(["b"]))
    assert list(Client(Endpoint(fake.url)).catalog()) == ["a", "b"]


def test_cancellation_is_heard_between_pages(fake):
    fake.script("GET", "/v2/_catalog", page(["a"], '</v2/_catalog?p=1>; rel="next"'))
    stop = threading.Event()
    names = Client(Endpoint(fake.url), cancelled=stop.is_set).catalog()
    assert next(names) == "a"
    stop.set()
    with pytest.raises(Cancelled):
        next(names)
    assert len(fake.requests) == 1


def test_cancellation_is_heard_while_a_page_is_waited_for(fake, monkeypatch):
    monkeypatch.setattr("sync.oci.transport.BACKOFF_FIRST", 15.0)
    fake.script("GET", "/v2/_catalog", page(["a"], '</v2/_catalog?p=1>; rel="next"'))
    fake.script("GET", "/v2/_catalog?p=1", Answer(503))
    names = Client(Endpoint(fake.url), cancelled=lambda: len(fake.requests) > 1).catalog()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(names)
    assert time.monotonic() - started < 5


def test_names_can_be_stored_and_shown(fake):
    fake.script("GET", "/v2/a/tags/list", Answer(body=b'{"tags":["v1","a\\u0000b","\\ud800","v2\\n"]}'))
    assert list(Client(Endpoint(fake.url)).tags("a")) == ["v1", "a\ufffdb", "\ufffd", "v2\ufffd"]


@pytest.mark.parametrize("body", [b'{"name":"a","tags":null}', b'{"name":"a"}', b'{"tags":[]}'])
def test_no_tags(fake, body):
    fake.script("GET", "/v2/a/tags/list", Answer(body=body))
    assert list(Client(Endpoint(fake.url)).tags("a")) == []


@pytest.mark.parametrize("body", [b"<html>", b'"x"', b"[1]", b'{"tags":"x"}', b'{"tags":[1]}'])
def test_what_is_no_list_is_an_error_not_an_empty_list(fake, body):
    fake.script("GET", "/v2/a/tags/list", Answer(body=body))
    with pytest.raises(ProtocolViolation):
        list(Client(Endpoint(fake.url)).tags("a"))


def test_404_without_the_registrys_own_words_has_no_code(fake):
    for body in (b"", b"<html>", b"404 page not found", b"{}"):
        fake.script("GET", "/v2/a/tags/list", Answer(404, body=body))
        with pytest.raises(NotFound) as caught:
            list(Client(Endpoint(fake.url)).tags("a"))
        assert caught.value.code == ""


def test_unknown_repository(fake):
    fake.script("GET", "/v2/a/tags/list", Answer(404, body=b'{"errors":[{"code":"NAME_UNKNOWN"}]}'))
    with pytest.raises(NotFound) as caught:
        list(Client(Endpoint(fake.url, name="prod"), side="source").tags("a"))
    assert str(caught.value).startswith(
        "Source prod: cannot list the tags of a: the registry answered 404 NAME_UNKNOWN. It may not exist, or"
    )


def test_missing_catalog_says_what_to_do(fake):
    fake.script("GET", "/v2/_catalog", Answer(403))
    with pytest.raises(Denied, match="name the repositories instead"):
        list(Client(Endpoint(fake.url)).catalog())


@pytest.mark.parametrize("body", [b"<html>nginx", b"404 page not found", b""])
def test_plain_web_server_is_no_registry(fake, body):
    fake.script("GET", "/v2/", Answer(404, {"Content-Type": "text/html"}, body))
    with pytest.raises(NotFound, match="This is not a registry, or its API lies below another address"):
        Client(Endpoint(fake.url)).ping()


def test_registry_whose_token_server_is_not_there_is_still_a_registry(fake):
    fake.script("GET", "/v2/", Answer(401, {"WWW-Authenticate": "Bearer realm=/token"}))
    with pytest.raises(NotFound) as caught:
        Client(Endpoint(fake.url)).ping()
    assert "not a registry" not in str(caught.value)


def test_web_page_is_no_registry(fake):
    fake.script("GET", "/v2/", Answer(200, {"Content-Type": "text/html"}, b"<html>"))
    with pytest.raises(ProtocolViolation, match="web page"):
        Client(Endpoint(fake.url)).ping()


def test_a_list_is_gone_on_with_where_it_was_left(fake):
    fake.script("GET", "/v2/a/tags/list?n=1000", page(["v1", "v2"], '</v2/a/tags/list?p=2>; rel="next"'))
    fake.script("GET", "/v2/a/tags/list?n=1000&last=v2", page(["v3"]))
    fake.script("GET", "/v2/a/tags/list?n=1000&last=v3", page([]))
    client, place = Client(Endpoint(fake.url)), Bookmark()
    begun = client.tags("a", place)
    assert [next(begun), next(begun)] == ["v1", "v2"] and place == Bookmark("v1", "v2")
    assert list(client.tags("a", place)) == ["v3"] and place == Bookmark("v1", "v3")


def test_a_list_that_begins_anew_cannot_be_gone_on_with(fake):
    fake.script("GET", "/v2/_catalog", page(["a", "b"]))
    with pytest.raises(ProtocolViolation, match="cannot be read in steps"):
        list(Client(Endpoint(fake.url)).catalog(Bookmark("a", "b")))
