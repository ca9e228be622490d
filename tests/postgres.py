"""A PostgreSQL of the tests' own: in a folder that goes away, fast rather than safe."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from demo.registries import free_port
from tests.support import wait_until

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "unix_socket_directories": "",
    "max_connections": "200",
}


@dataclass(frozen=True)
class Cluster:
    """The files of a server, in a folder that is given to the account that it runs as."""

    programs: Path
    folder: Path
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        return f"postgres://console:{self.password}@{self.address}:{self.port}/postgres"

    @cached_property
    def account(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root: then it runs as a user without rights, to whom the folder is given."""
        if os.geteuid() != 0:
            return {}
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        shutil.chown(self.folder, name)
        return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}

    def initialize(self) -> None:
        account, password_file = self.account, self.folder / "password"
        password_file.write_text(self.password)
        if account:
            shutil.chown(password_file, account["user"])
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "console", "--no-sync"]
        options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*command, *options], stdout=subprocess.DEVNULL, cwd=self.folder, check=True, **account)

    def command(self, **settings: str) -> list[str]:
        """What runs the server; `settings` are added to SETTINGS."""
        chosen = {**SETTINGS, "listen_addresses": self.address, "port": str(self.port), **settings}
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def temporary_cluster(programs: Path) -> Iterator[str]:
    """Runs the server from the folder `programs` on loopback; gives a DATABASE_URL."""
    cluster = Cluster(programs, Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp")))
    try:
        cluster.initialize()
        with (cluster.folder / "log").open("wb") as log:
            server = subprocess.Popen(cluster.command(), cwd=cluster.folder, stdout=log, stderr=log, **cluster.account)
        try:
            wait_until(cluster.answers, 60, "PostgreSQL answering")
            yield cluster.url
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: open connections are ended
            server.wait(30)
    finally:
        shutil.rmtree(cluster.folder)
