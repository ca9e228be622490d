"""The receiver: who may send, what is kept, what is refused, and how little it asks of the database."""

import json
from base64 import b64encode
from datetime import timedelta
from io import BytesIO

import pytest
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync import queue
from sync.models import Instance, Notification
from sync.services import receive
from tests.oci.test_notifications import DIGEST, IMAGE, event, harbor, of_zot, resource

URL = "/hooks/prod-gz/"
PUSH = json.dumps({"repository": "prod/web", "tag": "v1"})
PULL = json.dumps({"events": [event("pull", mediaType=IMAGE, digest=DIGEST, repository="prod/web", tag="v1")]})


@pytest.fixture
def asked(monkeypatch) -> list[bool]:
    """Has an element for each time that the queue was asked to hand out notifications."""
    calls: list[bool] = []

    def enqueue() -> bool:
        calls.append(True)
        return True

    monkeypatch.setattr(queue, "enqueue_dispatch", enqueue)
    return calls


@pytest.fixture
def secret(source, asked) -> str:
    made = receive.make_secret(source, "")
    assert made is not None
    return made


@pytest.fixture
def registry(db) -> Client:
    """Who sends notifications: no browser, no cookies, no token against forgery."""
    return Client(enforce_csrf_checks=True)


def send(registry, body, authorization, url=URL, **headers):
    return registry.post(
        url, body, content_type="application/json", headers={"Authorization": authorization, **headers}
    )


def many(count):
    return json.dumps([{"repository": "prod/web", "tag": f"v{number}"} for number in range(count)])


def basic(secret):
    return "Basic " + b64encode(f"anybody:{secret}".encode()).decode()


@pytest.mark.parametrize("header", ["Bearer {}", "bearer  {}", "{}", basic], ids=["bearer", "small", "raw", "basic"])
def test_each_way_to_send_the_secret(registry, secret, source, header):
    answer = send(registry, PUSH, header(secret) if callable(header) else header.format(secret))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    kept = Notification.objects.get()
    assert (kept.instance, kept.action, kept.repository, kept.tag) == (source, "push", "prod/web", "v1")
    assert kept.handled_at is None and not kept.own


@pytest.mark.parametrize(
    ("name", "authorization"),
    [
        ("prod-gz", ""),
        ("prod-gz", "Bearer wrong"),
        ("prod-gz", "Bearer"),
        ("prod-gz", "Basic ???"),
        ("prod-gz", "Basic " + b64encode(b"no colon").decode()),
        ("prod-gz", "\xff\xfe"),
        ("nowhere", "Bearer {secret}"),
        ("nowhere%00", "Bearer {secret}"),
        ("prod-eu", "Bearer {secret}"),
        ("prod-eu", "Bearer "),
    ],
)
def test_one_refusal_for_whoever_has_no_secret(registry, secret, target, name, authorization):
    """prod-eu has none, so nothing opens it; nor does what stands in the database."""
    answer = send(registry, PUSH, authorization.format(secret=secret), f"/hooks/{name}/")
    stored = Instance.objects.get(name="prod-gz").hook_secret_hash
    for one in (answer, send(registry, PUSH, f"Bearer {stored}"), send(registry, PUSH, f"Bearer {receive.NO_HASH}")):
        assert one.status_code == 401 and one.headers["WWW-Authenticate"] == "Bearer"
        assert one.json() == {"error": "Unknown instance, or wrong secret: its page says how to set up notifications."}
    assert not Notification.objects.exists()
    assert Instance.objects.get(name="prod-gz").notified_at is None


def test_the_refusal_is_the_same_work_whether_the_instance_exists(registry, secret):
    counts = []
    for name in ("prod-gz", "nowhere"):
        with CaptureQueriesContext(connection) as queries:
            send(registry, PUSH, "Bearer wrong", f"/hooks/{name}/")
        counts.append(len(queries))
    assert counts == [1, 1]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{", 400, "The body is not JSON."),
        ("", 400, "The body is not JSON."),
        ('{"ref": "main"}', 400, "This is no notification of a known kind"),
        ('{"repository": "A", "tag": "1"}', 400, "'A' is not a repository name"),
        (many(receive.MOST_EVENTS + 1), 400, "More than 5000 events"),
        (f"[{' ' * 10_000_000}]", 413, "A notification holds 2097152 bytes at most."),
    ],
)
def test_bodies_that_are_refused_leave_nothing(registry, secret, asked, body, status, said):
    answer = send(registry, body, f"Bearer {secret}")
    assert answer.status_code == status and answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"].startswith(said)
    assert not Notification.objects.exists() and asked == []


def test_what_is_too_large_is_not_read(registry, secret):
    announced, chunked = BytesIO(b" " * 10_000_000), BytesIO(b" " * 10_000_000)
    same = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    environment = {"REQUEST_METHOD": "POST", "PATH_INFO": URL, "CONTENT_TYPE": "application/json", **same}
    large = registry.request(**environment, **{"wsgi.input": announced, "CONTENT_LENGTH": "10000000"})
    assert (large.status_code, announced.tell()) == (413, 0)
    large = registry.request(**environment, **{"wsgi.input": chunked, "wsgi.input_terminated": True})
    assert (large.status_code, chunked.tell()) == (413, 2 * 1024 * 1024 + 1)
    unread = {"HTTP_AUTHORIZATION": "x", "wsgi.input": announced, "CONTENT_LENGTH": "9"}
    assert (registry.request(**environment | unread).status_code, announced.tell()) == (401, 0)


def test_a_body_without_length_is_read_to_its_end(registry, secret):
    answer = registry.request(
        **{
            "REQUEST_METHOD": "POST",
            "PATH_INFO": URL,
            "HTTP_AUTHORIZATION": f"Bearer {secret}",
            "wsgi.input": BytesIO(PUSH.encode()),
            "wsgi.input_terminated": True,
        }
    )
    assert answer.status_code == 202 and Notification.objects.get().tag == "v1"


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_only_post(registry, secret, method):
    answer = getattr(registry, method)(URL)
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST"


def test_no_session_and_no_cookie(registry, secret):
    for authorization in (f"Bearer {secret}", "wrong"):
        answer = send(registry, PUSH, authorization)
        assert not answer.cookies and not Session.objects.exists()


def test_an_address_without_the_slash_works(registry, secret):
    """Redirected, a registry would come back with a GET."""
    assert send(registry, PUSH, secret, "/hooks/prod-gz").status_code == 202


def test_plain_http_is_refused_where_the_console_has_https(registry, secret, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert send(registry, PUSH, secret).status_code == 403
    assert send(registry, PUSH, secret, **{"X-Forwarded-Proto": "https"}).status_code == 202


def test_the_envelopes_of_registries(registry, secret):
    envelope = {
        "events": [
            event("push", mediaType=IMAGE, digest=DIGEST, repository="prod/web", tag="a", actor="robot"),
            event("delete", repository="prod/web", tag="b"),
        ]
    }
    assert send(registry, json.dumps(envelope), secret).json() == {"accepted": 2}
    assert send(registry, json.dumps(harbor("PUSH_ARTIFACT", resource("c"))), secret).status_code == 202
    zot = {"Ce-Type": "zotregistry.image.updated", "Ce-Specversion": "1.0"}
    assert send(registry, json.dumps(of_zot("d")), secret, **zot).status_code == 202
    rows = Notification.objects.order_by("pk").values_list("action", "tag", "digest", "actor")
    assert list(rows) == [
        ("push", "a", DIGEST, "robot"),
        ("delete", "b", "", ""),
        ("push", "c", DIGEST, "admin"),
        ("push", "d", DIGEST, ""),
    ]


def test_pulls_keep_nothing_and_cost_next_to_nothing(registry, secret, asked):
    assert send(registry, PULL, secret).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        answer = send(registry, PULL, secret)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0})
    assert len(queries) == 1
    assert not Notification.objects.exists() and asked == []


def test_the_number_of_queries_does_not_grow_with_the_events(registry, secret):
    send(registry, PUSH, secret)
    counts = []
    # SQLite takes 999 values at once, and a notification has twelve: 80 are one statement there.
    for count in (1, 80 if connection.vendor == "sqlite" else 1000):
        with CaptureQueriesContext(connection) as queries:
            assert send(registry, many(count), secret).json() == {"accepted": count}
        counts.append(len([one for one in queries if "SAVEPOINT" not in one["sql"]]))
    assert counts == [2, 2]


def test_the_queue_is_asked_after_all_is_kept(registry, secret, asked, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        send(registry, many(3), secret)
    assert asked == [] and len(callbacks) == 1
    callbacks[0]()
    assert asked == [True] and Notification.objects.count() == 3


def test_a_dead_queue_is_not_asked_again_and_again(registry, secret, monkeypatch, django_capture_on_commit_callbacks):
    calls: list[int] = []
    monkeypatch.setattr(queue, "enqueue_dispatch", lambda: calls.append(1))
    for _ in range(3):
        with django_capture_on_commit_callbacks(execute=True):
            assert send(registry, PUSH, secret).status_code == 202
    assert len(calls) == 1 and Notification.objects.count() == 3


def test_a_queue_that_fails_in_any_way_is_no_failure_of_the_receiver(
    registry, secret, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(queue, "enqueue_dispatch", lambda: 1 / 0)
    with django_capture_on_commit_callbacks(execute=True):
        assert send(registry, PUSH, secret).status_code == 202


def test_a_database_that_fails_is_told_as_something_to_repeat(registry, secret, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(Notification.objects, "bulk_create", fail)
    answer = send(registry, PUSH, secret)
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
    assert "disk" not in answer.content.decode()
    assert Instance.objects.get(name="prod-gz").notified_at is None


def test_when_the_last_one_came_is_written_every_few_seconds(registry, secret, monkeypatch):
    send(registry, PUSH, secret)
    first = Instance.objects.get().notified_at
    assert first is not None and timezone.now() - first < timedelta(seconds=60)
    send(registry, PUSH, secret)
    assert Instance.objects.get().notified_at == first
    monkeypatch.setattr(receive, "NOTED_SECONDS", 0)
    send(registry, PUSH, secret)
    assert Instance.objects.exclude(notified_at=first).exists()


def test_a_replaced_secret_stops_working_and_a_removed_one_too(registry, secret, source):
    source.refresh_from_db()
    newer = receive.make_secret(source, receive.state_of(source))
    assert [send(registry, PUSH, one).status_code for one in (secret, newer)] == [401, 202]
    receive.remove_secret(source)
    assert [send(registry, PUSH, one).status_code for one in (secret, newer, "")] == [401] * 3


def test_nothing_of_a_secret_is_logged(registry, secret, caplog, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    for authorization in (secret, f"Bearer {secret}", f"Basic {secret}"):
        send(registry, "{", authorization)
    monkeypatch.setattr(Notification.objects, "bulk_create", fail)
    send(registry, PUSH, secret)
    assert "gone" in caplog.text and secret not in caplog.text
