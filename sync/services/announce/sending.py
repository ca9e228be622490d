"""One signed POST to an address that a person typed: nothing inside is reached by it, and nobody is kept waiting."""

import hashlib
import hmac
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlsplit

from django.conf import settings

from sync.models.webhook import shown_place
from sync.oci import addresses
from sync.oci.addresses import Policy
from sync.oci.reference import DEFAULT_PORTS

CONNECT_SECONDS, READ_SECONDS, ALL_SECONDS = 5.0, 10.0, 15.0
# So much of an answer is read, so that the other side can end in good order.
ANSWER_BYTES, PHRASE_CHARACTERS = 2048, 60
# Request Timeout, Too Early, Too Many Requests: the only refusals that are not final.
WORTH_WAITING = (408, 425, 429)
LONGEST_RETRY_AFTER = 24 * 3600


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    again: waiting may help, for at least `after` seconds where the other side says so.
    """

    delivered: bool
    http_status: int = 0
    reason: str = ""
    again: bool = False
    after: float = 0.0


class _Refused(Exception):
    """Nothing was sent and nothing will be, in a sentence."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def send(url: str, secret: str, delivery: str, body: bytes) -> Outcome:
    """Never raises for what the other side does."""
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "tcrconsole",
        "X-Tcrconsole-Timestamp": timestamp,
        "X-Tcrconsole-Signature": signature(secret, timestamp, body),
        "X-Tcrconsole-Delivery": delivery,
        "Connection": "close",
    }
    try:
        return _post(url, headers, body)
    except _Refused as refused:
        return Outcome(False, reason=str(refused))
    except ssl.SSLCertVerificationError as error:
        said = f"Its certificate is not trusted ({error.verify_message})."
        return Outcome(False, reason=f"{said} Have the workers' system trust its authority.", again=True)
    except TimeoutError:
        return Outcome(False, reason=_away(url, "did not answer in time"), again=True)
    except (OSError, HTTPException, ValueError) as error:
        return Outcome(False, reason=_away(url, f"broke off ({_words(error)})"), again=True)


def _away(url: str, what: str) -> str:
    return f"{shown_place(url)} {what}. See whether it runs and can be reached from the workers."


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error or type(error).__name__)[:200]


class _Alarm:
    """Ends all of it when its time is over, however the other side drips its bytes."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._watched: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> "_Alarm":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._watched:
            self._watched.close()

    def watch(self, opened: socket.socket) -> None:
        """From now on this one, which may be made of the one before."""
        self._watched = opened
        if self.over:
            _break_off(opened)

    def _ring(self) -> None:
        self.over = True
        if self._watched:
            _break_off(self._watched)


def _break_off(opened: socket.socket) -> None:
    with suppress(OSError):
        # Not SSLSocket's own: it would drop the encryption first.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


def _post(url: str, headers: dict[str, str], body: bytes) -> Outcome:
    parts = urlsplit(url)
    if parts.scheme != "https" and not settings.WEBHOOK_PRIVATE_ADDRESSES:
        raise _Refused("Only https:// addresses are told anything. Give the rule one.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    opened = _connect(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
    with _Alarm(ALL_SECONDS) as alarm:
        try:
            # Over the connection that is there: asked again, the name might lead elsewhere.
            connection = HTTPConnection(parts.hostname or "")
            connection.sock = _secured(opened, parts.hostname or "", alarm) if parts.scheme == "https" else opened
            alarm.watch(connection.sock)
            connection.request("POST", path, body, headers | {"Host": parts.netloc})
            answer = connection.getresponse()
            if alarm.over:
                raise TimeoutError  # What was broken off may look like an end.
            return _judge(answer)
        except (OSError, HTTPException):
            if alarm.over:
                raise TimeoutError from None
            raise


def _secured(opened: socket.socket, host: str, alarm: _Alarm) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    secured = context.wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
    alarm.watch(secured)
    secured.do_handshake()
    return secured


def _judge(answer: HTTPResponse) -> Outcome:
    """What it says is not told further: it may come from where nobody should read."""
    with suppress(OSError, HTTPException):
        answer.read(ANSWER_BYTES)
    status, said = answer.status, f"It answered {answer.status} {answer.reason[:PHRASE_CHARACTERS]}".rstrip()
    if 200 <= status < 300:
        return Outcome(True, status)
    if 300 <= status < 400:
        return Outcome(False, status, f"{said}. Redirects are not followed: give the rule the address it leads to.")
    if 400 <= status < 500 and status not in WORTH_WAITING:
        return Outcome(False, status, f"{said}. It will not take this: look at its address, its secret and its log.")
    after = _retry_after(answer.getheader("Retry-After", ""))
    return Outcome(False, status, f"{said}. Look at its log if this goes on.", again=True, after=after)


def _retry_after(text: str) -> float:
    """In seconds or as a date (RFC 9110, 10.2.3)."""
    seconds = 0.0
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        with suppress(ValueError, TypeError, OverflowError):
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _connect(host: str, port: int) -> socket.socket:
    """To the first address of the host that may be told something and answers."""
    try:
        opened = addresses.connect(host, port, CONNECT_SECONDS, Policy(private=settings.WEBHOOK_PRIVATE_ADDRESSES))
    except addresses.Refused as refused:
        raise _Refused(f"{refused}. {_advice(refused.why)}") from None
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(0, f"the name {host} is not known to the name server") from error
    opened.settimeout(READ_SECONDS)
    return opened


def _advice(why: str) -> str:
    if why != addresses.PRIVATE:
        return "Give the rule another address."
    return "Give the rule a public address, or start the console with WEBHOOK_PRIVATE_ADDRESSES=true."
