"""The processes of compose.yaml, with its settings, on two hosts: they share a task, and nothing is wrong with them."""

import json
import os
from collections.abc import Iterator
from threading import Event, Thread

import psycopg
import pytest
import requests

from demo import artifacts, content
from demo.content import Tagged
from demo.registries import RegistryServer
from tests import parts
from tests.production.stand import Stand, standing
from tests.replication.support import some_layer
from tests.soak.hosts import Hosts, two_hosts
from tests.support import wait_until

pytestmark = pytest.mark.any_database

REPOSITORIES, TAGS = 30, 8
# At which the task lasts for some seconds.
BYTES_PER_SECOND = 200_000
# The second worker host serves a pool besides; it stands in a network of its own where that is allowed.
SERVICES: tuple[tuple[str, dict[str, str]], ...] = (
    ("web", {}),
    ("worker1", {}),
    ("worker2", {"WORKER_POOLS": "eu"}),
    ("express", {}),
    ("scheduler", {}),
)
STARTED = ("migrate", *dict.fromkeys(name.rstrip("12") for name, _ in SERVICES))


class Reachable(RegistryServer):
    """From other hosts too."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"REGISTRY_HTTP_ADDR": f":{self.port}"}


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with two_hosts() as found:
        yield found


@pytest.fixture(scope="module")
def stand(hosts) -> Iterator[Stand]:
    with standing(hosts, parts.require("postgresql"), SERVICES) as running:
        yield running


@pytest.fixture(scope="module")
def registries(registry_binary, stand) -> Iterator[tuple[Reachable, Reachable]]:
    with Reachable(registry_binary) as source, Reachable(registry_binary) as target:
        image = artifacts.image([some_layer()] * 10)
        names = [f"prod/r{number}" for number in range(REPOSITORIES)]
        content.push([Tagged(name, f"v{tag}", image) for name in names for tag in range(TAGS)], source.url)
        load(stand, source, target)
        yield source, target


def load(stand: Stand, source: Reachable, target: Reachable) -> None:
    address = stand.hosts.address
    instances = [
        {"name": name, "region": name, "url": f"http://{address}:{server.port}", "allow_plain_http": True} | more
        for name, server, more in (
            ("source", source, {}),
            ("target", target, {"max_bytes_per_second": BYTES_PER_SECOND}),
        )
    ]
    sides = {"source": {"instance": "source", "namespace": "prod"}, "target": {"instance": "target"}}
    pooled = {"source": sides["source"] | {"repositories": "r0"}, "target": {"instance": "target", "namespace": "eu"}}
    rules = [{"name": "all", **sides}, {"name": "pooled", "pool": "eu", **pooled}]
    done = stand.manage("load_rules", "-", given=json.dumps({"instances": instances, "rules": rules}))
    assert done.returncode == 0, done.stderr


class Owners(Thread):
    """Looks how many workers hold parts of a task at the same moment."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.most, self.done, self._url = 0, Event(), url

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as database:
            while not self.done.wait(0.1):
                row = database.execute("SELECT count(DISTINCT claim) FROM sync_taskpart WHERE claim <> ''").fetchone()
                self.most = max(self.most, row[0] if row else 0)


def synchronized(stand: Stand, rule: str) -> dict[str, object]:
    done = stand.manage("bulk_sync", "--rule", rule, "--wait", "--json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    (task,) = json.loads(done.stdout)["tasks"]
    return dict(task)


def tags(url: str, repository: str) -> list[str]:
    return sorted(requests.get(f"{url}/v2/{repository}/tags/list", timeout=10).json()["tags"])


def test_both_worker_hosts_take_part_in_one_task_and_all_arrives(stand, registries):
    owners = Owners(stand.cluster.url)
    owners.start()
    task = synchronized(stand, "all")
    owners.done.set()
    owners.join(5)
    assert (task["status"], task["copied"]) == ("succeeded", REPOSITORIES * TAGS)
    for number in range(REPOSITORIES):
        assert tags(registries[1].url, f"prod/r{number}") == [f"v{tag}" for tag in range(TAGS)]
    assert owners.most == 2, "one worker did it alone"


def test_a_rule_with_a_pool_is_executed_by_the_host_that_serves_it(stand, registries):
    assert synchronized(stand, "pooled")["copied"] == TAGS
    assert tags(registries[1].url, "eu/r0") == [f"v{tag}" for tag in range(TAGS)]
    shown = stand.metrics()
    assert 'tcrconsole_pool_workers{pool="eu"} 1.0' in shown
    assert 'tcrconsole_pool_workers{pool="default"} 2.0' in shown
    assert 'outcome="copied",source="source",target="target"' in shown


def test_the_second_host_stands_in_a_network_of_its_own(hosts):
    if not hosts.elsewhere:
        (pytest.fail if parts.in_ci() and os.geteuid() == 0 else pytest.skip)(f"one host only: {hosts.left_out}")


def test_the_web_server_answers_probes_pages_and_static_files(stand):
    wait_until(lambda: stand.get("/readyz")[0] == 200, 20, "everything being there")
    status, page = stand.get("/login/")
    assert status == 200
    assert "/static/console.css" in page
    assert stand.get("/static/console.css")[0] == 200
    assert stand.get("/healthz", Host="10.0.0.7", **{"X-Forwarded-Proto": "http"})[0] == 200
    assert stand.get("/login/", **{"X-Forwarded-Proto": "http"})[0] == 301


def test_the_check_for_deployment_finds_nothing(stand):
    wait_until(lambda: stand.get("/readyz")[0] == 200, 20, "everything being there")
    done = stand.manage("check", "--deploy")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "System check identified no issues" in done.stdout


def test_logs_are_json_and_hold_no_secret(stand):
    secret = [path.read_text().strip().rpartition(" ")[2] for path in stand.secrets.iterdir()]
    for name, _ in SERVICES:
        text = (stand.folder / f"{name}.log").read_text()
        assert not [one for one in secret if one in text], name
        assert "Traceback" not in text, text
        if name.startswith("worker"):
            assert all(json.loads(line) for line in text.splitlines())
