"""How long after a push by skopeo an image is available in the target, with workers that are up already."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from time import monotonic

from demo import artifacts, content
from demo.content import Tagged
from demo.registries import RegistryServer, find_registry_binary, free_port
from tcrconsole.runner import PROJECT
from tests.bench.console import prepared
from tests.bench.measure import Failed
from tests.notifying import NotifyingRegistry
from tests.support import wait_until

PUSHES, WORKERS = 50, 2
MEDIAN_SECONDS, P95_SECONDS, PATIENCE = 2.0, 5.0, 60.0
SECRET = "for-the-bench-only"
REPOSITORY = "pushed/web"


def run(skopeo: Path, pushes: int = PUSHES) -> None:
    """Prints the figures. Raises Failed when they are worse than promised."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, prepared(Path(folder)), ExitStack() as stack:
        from tests.bench.ours import workers

        address = f"127.0.0.1:{free_port()}"
        program = find_registry_binary()
        hook = f"http://{address}/hooks/source/"
        elsewhere, target = (stack.enter_context(RegistryServer(program)) for _ in range(2))
        source = stack.enter_context(NotifyingRegistry(program, hook=hook, secret=SECRET))
        _furnish(source.url, target.url)
        stack.enter_context(_web(address))
        stack.enter_context(workers(Path(folder), WORKERS))
        seconds = [_push(skopeo, number, elsewhere, source, target) for number in range(pushes)]
    _tell(seconds)


def _furnish(source_url: str, target_url: str) -> None:
    from sync.models import Instance, SyncRule

    source, target = (
        Instance.objects.create(
            name=name, region="bench", url=url, hook_secret_hash=sha256(SECRET.encode()).hexdigest()
        )
        for name, url in (("source", source_url), ("target", target_url))
    )
    SyncRule.objects.create(name="pushed", source=source, target=target, source_namespace="pushed")


@contextmanager
def _web(address: str) -> Iterator[None]:
    words = f"-m gunicorn tcrconsole.wsgi --bind {address} --worker-class gthread --threads 8 --no-control-socket"
    process = subprocess.Popen([sys.executable, *words.split(), "--log-level", "warning"], cwd=PROJECT)
    try:
        wait_until(lambda: _status(address, "/login/") == 200, 30, "the receiver")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _push(
    skopeo: Path, number: int, elsewhere: RegistryServer, source: RegistryServer, target: RegistryServer
) -> float:
    """Seconds from the end of the push to the tag in the target."""
    image = artifacts.image([artifacts.layer({"number": str(number).encode()})])
    content.push([Tagged(REPOSITORY, f"v{number}", image)], elsewhere.url)
    name = f"{REPOSITORY}:v{number}"
    command = [str(skopeo), "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run([*command, f"docker://{elsewhere.host}/{name}", f"docker://{source.host}/{name}"], check=True)
    began, arrived = monotonic(), f"/v2/{REPOSITORY}/manifests/v{number}"
    wait_until(lambda: _status(target.host, arrived) == 200, PATIENCE, f"{name} in the target")
    return monotonic() - began


def _status(address: str, path: str) -> int:
    try:
        with closing(HTTPConnection(address, timeout=10)) as connection:
            connection.request("GET", path, headers={"Accept": artifacts.OCI_MANIFEST})
            return connection.getresponse().status
    except OSError:
        return 0


def _tell(seconds: list[float]) -> None:
    middle, late = median(seconds), quantiles(seconds, n=20)[-1]
    print(f"\n{len(seconds)} pushes by skopeo, {WORKERS} workers: from the end of the push to the tag in the target")
    print(f"  median {middle:.2f} s, 95th percentile {late:.2f} s, worst {max(seconds):.2f} s", flush=True)
    if middle > MEDIAN_SECONDS or late > P95_SECONDS:
        raise Failed(f"Promised are a median under {MEDIAN_SECONDS:g} s and a 95th percentile under {P95_SECONDS:g} s.")
