"""Real registries (CNCF distribution) on loopback: where their program comes from, and how one is run."""

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

IN_DOCKER = "registry-in-docker"
CACHE_DIR = Path(__file__).resolve().parent.parent / ".cache"
START_SECONDS = 20.0
STOP_SECONDS = 5.0

# Stands in for the program where only a container engine is at hand: the folder of the configuration file holds
# everything the registry reads and writes, and the port is published on loopback only.
DOCKER_WRAPPER = """\
#!/bin/sh
for config; do :; done
folder=$(dirname "$config")
port=${REGISTRY_HTTP_ADDR##*:}
exec docker run --rm --init --user "$(id -u):$(id -g)" -p "127.0.0.1:$port:$port" -v "$folder:$folder" \\
    -e "REGISTRY_HTTP_ADDR=:$port" registry:2 "$@"
"""


class RegistryUnavailable(RuntimeError):
    """No registry program can be had here, or it did not start; the message says what to do."""


def find_registry_binary(cache_dir: Path = CACHE_DIR) -> Path:
    """The program to run a registry with: on PATH, else Debian's (kept in `cache_dir`), else the official image.

    Debian's package is unpacked, never installed: its service is not wanted and no root is needed.
    Raises RegistryUnavailable with what to install.
    """
    for find in (_on_path, _unpacked, _from_debian, _from_docker):
        if program := find(cache_dir):
            return program
    raise RegistryUnavailable(
        "No registry program can be had on this machine: install Debian's package docker-registry, "
        "put the program of CNCF distribution on PATH, or start Docker."
    )


def _on_path(_: Path) -> Path | None:
    for name in ("docker-registry", "registry"):
        found = shutil.which(name)
        if found and _is_distribution(Path(found)):
            return Path(found)
    return None


def _is_distribution(program: Path) -> bool:
    """Whether this is CNCF distribution and runs here: other programs are called `registry` too."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "distribution" in answer.stdout + answer.stderr


def _unpacked(cache_dir: Path) -> Path | None:
    program = cache_dir / "docker-registry" / "usr" / "bin" / "docker-registry"
    return program if _is_distribution(program) else None


def _from_debian(cache_dir: Path) -> Path | None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        if not _download_package("docker-registry", Path(folder)):
            return None
        (package,) = Path(folder).glob("docker-registry_*.deb")
        subprocess.run(["dpkg", "-x", package, cache_dir / "docker-registry"], check=True)
    return _unpacked(cache_dir)


def _download_package(name: str, folder: Path) -> bool:
    """Download one Debian package into `folder`; when apt knows no packages yet, its lists are fetched first.

    Who is not root gets lists of their own in `folder`, as the machine's cannot be written.
    """
    if _apt("download", name, folder=folder, options=[]):
        return True
    options: list[str] = []
    if os.geteuid() != 0:
        (folder / "lists" / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"]
    return _apt("update", folder=folder, options=options) and _apt("download", name, folder=folder, options=options)


def _apt(*arguments: str, folder: Path, options: list[str]) -> bool:
    command = ["apt-get", "--quiet", *options, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode == 0


def _from_docker(cache_dir: Path) -> Path | None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, timeout=30, check=False).returncode != 0:
        return None
    cache_dir.mkdir(parents=True, exist_ok=True)
    wrapper = cache_dir / IN_DOCKER
    wrapper.write_text(DOCKER_WRAPPER)
    wrapper.chmod(0o755)
    return wrapper


def free_port(preferred: int = 0) -> int:
    """A TCP port on loopback that nobody listens on: `preferred` if it is free (0: any).

    Others are chosen by chance from those that the system gives to nobody by itself: whoever asks for one has time to
    use it.
    """
    for port in [*([preferred] if preferred else []), *random.sample(range(10_000, 32_000), 50)]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RegistryUnavailable("No TCP port is free on 127.0.0.1.")


@dataclass(frozen=True)
class TlsIdentity:
    """What the registry shows to its clients: PEM texts."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Listener:
    """Who is told of pushes and deletions: an address that takes notifications, and what is sent as Authorization."""

    url: str
    authorization: str


@dataclass
class RegistryServer:
    """One registry on loopback: `with RegistryServer(binary) as registry: registry.url`

    Deleting is allowed. With `data_dir` the content stays in that folder, otherwise it lives in memory until stop().
    With `listener` it sends notifications, again and again until they are taken.
    `htpasswd` is the text of such a file with bcrypt hashes: then the registry asks for a password.
    The port is chosen once, so a registry that is stopped and started again keeps its address.
    """

    binary: Path
    data_dir: Path | None = None
    port: int = 0
    htpasswd: str = ""
    tls: TlsIdentity | None = None
    listener: Listener | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def start(self) -> None:
        """Start and wait until it answers. Raises RegistryUnavailable with the end of its log."""
        command = self.prepare()
        log = Path(command[-1]).with_name("registry.log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=os.environ | self.environment(), stdout=output, stderr=output, start_new_session=True
            )
        try:
            self.wait()
        except RegistryUnavailable as error:
            tail = log.read_text(errors="replace")[-2000:]
            self.stop()
            raise RegistryUnavailable(f"{error} Its log ends with:\n{tail}") from error

    def wait(self) -> None:
        """Return once GET /v2/ is answered, 401 included. Raises RegistryUnavailable after START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            died = self._process is not None and self._process.poll() is not None
            if died or time.monotonic() > deadline:
                raise RegistryUnavailable(
                    f"The registry on {self.url} {'ended at once' if died else 'does not answer'}."
                )
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            _end_group(self._process)
            self._process = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def prepare(self) -> list[str]:
        """Write the configuration and give `command`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self.command[-1]).write_text(yaml.safe_dump(self._configuration(self._folder)))
        return self.command

    @property
    def command(self) -> list[str]:
        """What runs the registry when it is prepared: [program, "serve", configuration]."""
        return [str(self.binary), "serve", str(self._folder / "config.yml")]

    def environment(self) -> dict[str, str]:
        """What the command needs beside its configuration. Version 3 sends traces by default: nobody listens here."""
        return {"REGISTRY_HTTP_ADDR": self.host, "OTEL_TRACES_EXPORTER": "none"}

    def _configuration(self, folder: Path) -> dict[str, Any]:
        stored = {"filesystem": {"rootdirectory": str(folder / "content")}} if self.data_dir else {"inmemory": {}}
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {**stored, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "loopback-only"},
        }
        if self.listener:
            config["notifications"] = {"endpoints": [_endpoint(self.listener)]}
        if self.tls:
            written = {name: _write(folder / f"{name}.pem", text) for name, text in vars(self.tls).items()}
            config["http"]["tls"] = written
        if self.htpasswd:
            config["auth"] = {"htpasswd": {"realm": "registry", "path": _write(folder / "htpasswd", self.htpasswd)}}
        return config

    @property
    def _folder(self) -> Path:
        if self.data_dir:
            return self.data_dir
        self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="registry-")
        return Path(self._temporary.name)

    def _answers(self) -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = (
            http.client.HTTPSConnection(self.host, timeout=2, context=context)
            if self.tls
            else http.client.HTTPConnection(self.host, timeout=2)
        )
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/v2/")
                return connection.getresponse().status in (200, 401)
            except (OSError, http.client.HTTPException):
                return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _endpoint(listener: Listener) -> dict[str, Any]:
    return {
        "name": "console",
        "url": listener.url,
        "headers": {"Authorization": [listener.authorization]},
        "timeout": "5s",
        "threshold": 5,
        "backoff": "1s",
        "ignore": {"mediatypes": ["application/octet-stream"], "actions": ["pull", "mount"]},
    }


def _write(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started (it leads a session of its own)."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
