"""Where a webhook may lead, and what is made of those who answer slowly, elsewhere or not at all."""

import socket
from pathlib import Path
from threading import Thread

import pytest

from sync.services.announce import sending
from tests.fakes.receiver import Receiver
from tests.support import self_signed


def post(url: str) -> sending.Outcome:
    return sending.send(url, "secret", "1", b"{}")


@pytest.fixture
def _inside(settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True


def test_a_private_receiver_hears_nothing_by_default():
    with Receiver() as receiver:
        outcome = post(receiver.url.replace("http:", "https:"))
    assert (outcome.delivered, outcome.again, receiver.told) == (False, False, [])
    assert "127.0.0.1 is private" in outcome.reason
    assert "WEBHOOK_PRIVATE_ADDRESSES" in outcome.reason


def test_plain_http_is_refused_by_default():
    with Receiver() as receiver:
        assert "https://" in post(receiver.url).reason
    assert receiver.told == []


@pytest.mark.usefixtures("_inside")
def test_a_name_is_asked_once_and_what_it_said_is_connected_to(monkeypatch):
    """A name server that says one thing when asked for the check, and another one after it, gains nothing."""
    with Receiver() as receiver:
        asked, real = [], socket.getaddrinfo

        def answer(host, port, *args, **options):
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "169.254.169.254", port, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        assert post(f"http://hook.example:{receiver.port}/x?y=1").delivered
    assert asked == ["hook.example"]
    assert receiver.told[0].path == "/x?y=1"
    assert receiver.told[0].headers["Host"] == f"hook.example:{receiver.port}"


def test_of_several_addresses_those_that_are_allowed_are_tried(monkeypatch, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with Receiver() as receiver:
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, receiver.port)) for ip in ("0.0.0.0", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
        assert post("http://hook.example/").delivered


@pytest.mark.usefixtures("_inside")
def test_a_name_that_nobody_knows_may_be_known_later(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    outcome = post("http://hook.example/")
    assert outcome.again
    assert "hook.example is not known" in outcome.reason


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("speech", [b"", b"HTTP/1.1 200 OK\r\nX: "], ids=["silent", "dripping"])
def test_who_never_ends_is_left(speech, monkeypatch):
    monkeypatch.setattr(sending, "ALL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def serve():
            connection, _ = server.accept()
            taken.append(connection)
            connection.sendall(speech)

        Thread(target=serve, daemon=True).start()
        outcome = post(f"http://127.0.0.1:{server.getsockname()[1]}/")
        taken[0].close()
    assert outcome.again
    assert "did not answer in time" in outcome.reason


@pytest.mark.usefixtures("_inside")
def test_by_https_only_to_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch):
    certificate, key = self_signed("127.0.0.1")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_text(certificate)
    files[1].write_text(key)
    with Receiver(tls=files) as receiver:
        untrusted = post(receiver.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
        assert post(receiver.url).delivered
    assert "certificate is not trusted" in untrusted.reason
    assert len(receiver.told) == 1


@pytest.mark.usefixtures("_inside")
def test_what_the_receiver_says_is_not_told_further():
    with Receiver((500, {"X-Inside": "secret words"})) as receiver:
        assert "secret words" not in post(receiver.url).reason


def test_what_is_not_even_http_is_no_crash(settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            connection.close()

        Thread(target=serve, daemon=True).start()
        outcome = post(f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert outcome.again
    assert "broke off" in outcome.reason


def test_a_name_that_leads_inside_is_told_with_where_it_leads(monkeypatch):
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    assert "hook.example leads to 10.1.2.3, which is private." in post("https://hook.example/").reason


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("told", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"])
def test_a_name_that_leads_to_the_clouds_secrets_is_never_told_anything(private, told, monkeypatch, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = private
    rows = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (told, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    outcome = post("https://hook.example/")
    assert not outcome.again
    assert f"hook.example leads to {told}, which is where clouds keep credentials" in outcome.reason
    assert outcome.reason.endswith("Give the rule another address.")


def test_their_names_are_refused_without_asking_anybody(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was asked for"))
    assert "never allowed" in post("https://metadata.google.internal/computeMetadata/v1/").reason
