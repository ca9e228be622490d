"""What tests of several rooms share."""

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from demo.artifacts import digest_of
from tests.fakes.registry import Answer, FakeRegistry, Received


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "the condition") -> None:
    """Return as soon as the condition holds; fail the test when it does not within the seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} seconds")
        time.sleep(0.05)


def htpasswd(username: str, password: str) -> str:
    """The text of a file that makes a registry ask for these: RegistryServer(binary, htpasswd=...)."""
    return f"{username}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()}\n"


def self_signed(address: str, name: str = "") -> tuple[str, str]:
    """PEM texts of a certificate for an IP address, signed by itself under this name, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or address)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), private.decode()


def left_running(mark: str) -> list[str]:
    """Command lines of the processes whose environment holds the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


class Judge:
    """skopeo: what a registry holds, seen with another program's eyes. `name`: repository:tag or repository@digest."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def raw(self, url: str, name: str) -> bytes:
        """The manifest, byte for byte; blank when there is none."""
        answer = self._run("inspect", "--raw", "--tls-verify=false", _docker(url, name))
        if answer.returncode and b"manifest unknown" not in answer.stderr and b"name unknown" not in answer.stderr:
            raise AssertionError(answer.stderr.decode())
        return answer.stdout

    def digest(self, url: str, name: str) -> str:
        body = self.raw(url, name)
        return digest_of(body) if body else ""

    def pull(self, url: str, name: str, folder: Path) -> list[str]:
        """Pulls it whole, every platform of it; the digests (hex) of manifests and blobs that came along."""
        answer = self._run("copy", "--all", "--src-tls-verify=false", _docker(url, name), f"dir:{folder}")
        assert answer.returncode == 0, answer.stderr.decode()
        return sorted(sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "version")

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([self._program, "--insecure-policy", *words], capture_output=True, check=False)


def _docker(url: str, name: str) -> str:
    return f"docker://{url.partition('://')[2]}/{name}"


class Relay(FakeRegistry):
    """Passes every request on to a real registry and records it; script() puts a fault in the way of some."""

    def __init__(self, behind: str) -> None:
        super().__init__()
        self._host = behind.partition("://")[2]
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            self.script(method, "/", self.forward)

    def forward(self, request: Received) -> Answer:
        with closing(HTTPConnection(self._host, timeout=30)) as connection:
            # Bodies are read whole: their length is told anew.
            sent = {name: value for name, value in request.headers.items() if name != "Transfer-Encoding"}
            connection.request(request.method, request.target, request.body, sent)
            answer = connection.getresponse()
            dropped = ("Date", "Connection", "Transfer-Encoding")
            kept = {name: value for name, value in answer.getheaders() if name not in dropped}
            return Answer(answer.status, kept, answer.read())
