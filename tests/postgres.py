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
from pathlib import Path
from typing import Any

import psycopg

from demo.registries import free_port
from tests.support import wait_until

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
}


@contextlib.contextmanager
def temporary_cluster(programs: Path) -> Iterator[str]:
    """Runs the server from the folder `programs` on loopback; gives a DATABASE_URL."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    account = _account(folder)
    password, port = secrets.token_hex(16), free_port()
    try:
        _initialize(programs, folder, password, account)
        server = _serve(programs, folder, port, account)
        try:
            url = f"postgres://console:{password}@127.0.0.1:{port}/postgres"
            wait_until(lambda: _answers(url), 60, "PostgreSQL answering")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: open connections are ended
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _account(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as a user without rights, to whom the folder is given."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, name)
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def _initialize(programs: Path, folder: Path, password: str, account: dict[str, Any]) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    if account:
        shutil.chown(password_file, account["user"])
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "console", "--no-sync"]
    options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run([*command, *options], stdout=subprocess.DEVNULL, cwd=folder, check=True, **account)


def _serve(programs: Path, folder: Path, port: int, account: dict[str, Any]) -> subprocess.Popen[bytes]:
    settings = {**SETTINGS, "port": str(port)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(folder / "data"), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **account)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
