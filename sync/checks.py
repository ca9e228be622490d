"""What is wrong, or will hurt, where the console stands: Django system checks, told by `manage.py check --deploy`.

Tags: security, database, queue. What Django's own deployment checks say is not said again. docs/operations.md has the
list of them.
"""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from sync import pools, queue, queue_state
from sync.credentials import CredentialKeyMissing, decrypt
from sync.models import Instance, SyncRule
from sync.models.instance import NAME_HELP, is_name
from sync.oci.reference import is_loopback_host

MOUNTS = Path("/proc/self/mounts")
NETWORK_FILE_SYSTEMS = re.compile(
    "9p|afs|beegfs|ceph|cephfs|cifs|davfs|gfs2|glusterfs|gpfs|lustre|nfs4?|ocfs2|s3fs|smb[23]|smbfs|sshfs"
)
OLDEST_REDIS = (6, 2)
# What a plain `manage.py check` looks at besides, as the first step after a backup was restored.
SECRETS = "secrets"
CLOCK_SECONDS = 5
CONTROL_SECONDS = 60


@register(Tags.database)
def check_sqlite_place(**_: Any) -> list[CheckMessage]:
    if connection.vendor != "sqlite" or not MOUNTS.exists():
        return []
    path = Path(connection.settings_dict["NAME"]).resolve()
    kind = _file_system(path, MOUNTS.read_text())
    if not NETWORK_FILE_SYSTEMS.fullmatch(kind):
        return []
    return [
        Warning(
            f"The SQLite database {path} lies on a network file system ({kind}), whose locks cannot be relied on.",
            hint="Set DATA_DIR to a folder on a local disk, or DATABASE_URL to a PostgreSQL server.",
            id="tcrconsole.W001",
        )
    ]


def _file_system(path: Path, mounts: str) -> str:
    """Type of the file system that holds `path`, for FUSE that of its program. `mounts`: /proc/mounts, see proc(5)."""
    kind, depth = "", 0
    for line in mounts.splitlines():
        place, found = line.split()[1:3]
        folder = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))
        # Of two at the same place the later one is seen.
        if path.is_relative_to(folder) and len(folder.parts) >= depth:
            kind, depth = found, len(folder.parts)
    return kind.removeprefix("fuse.")


@register(Tags.security, deploy=True)
def check_settings(**_: Any) -> Iterator[CheckMessage]:
    if made := _made_here():
        yield Warning(
            f"Not set: {' and '.join(made)}. This installation uses what it made for itself in {settings.DATA_DIR}.",
            hint="Set them, the same on every host, and keep a copy: stored passwords are lost with CREDENTIAL_KEYS.",
            id="tcrconsole.W002",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "ALLOWED_HOSTS holds *: the console answers under any host name that a request claims.",
            hint="Set ALLOWED_HOSTS to the names under which users reach the console.",
            id="tcrconsole.W003",
        )
    elif settings.ALLOWED_HOSTS and all(is_loopback_host(name.strip("[]")) for name in settings.ALLOWED_HOSTS):
        yield Warning(
            "ALLOWED_HOSTS names this machine only: requests from others are refused.",
            hint="Set ALLOWED_HOSTS to the names under which users reach the console.",
            id="tcrconsole.W004",
        )
    if unknown := [name for name in settings.WORKER_POOLS if not is_name(name)]:
        yield Warning(
            f"WORKER_POOLS holds {', '.join(map(repr, unknown))}: no rule or instance can name such a pool.",
            hint=f"Separate names by commas. {NAME_HELP}",
            id="tcrconsole.W011",
        )
    scheme = "https" if settings.HTTPS else "http"
    if others := [origin for origin in settings.CSRF_TRUSTED_ORIGINS if not origin.startswith(f"{scheme}://")]:
        yield Warning(
            f"CSRF_TRUSTED_ORIGINS holds {', '.join(others)}, but HTTPS is {str(settings.HTTPS).lower()}.",
            hint="Set HTTPS=true where users come by https, and give every origin as they see it.",
            id="tcrconsole.W005",
        )


def _made_here() -> list[str]:
    """Keys that no environment variable gives: settings made them in DATA_DIR."""
    return [name for name in ("SECRET_KEY", "CREDENTIAL_KEYS") if not os.environ.get(name)]


@register(Tags.database, deploy=True)
def check_kind_of_database(**_: Any) -> list[CheckMessage]:
    if connection.vendor != "sqlite":
        return []
    return [
        Warning(
            "The database is SQLite: workers on other machines cannot use it, and it takes one writer at a time.",
            hint="Set DATABASE_URL to a PostgreSQL server; for one machine with few workers this may stay.",
            id="tcrconsole.W010",
        )
    ]


@register(Tags.database, deploy=True)
def check_database(**_: Any) -> list[CheckMessage]:
    try:
        return _unapplied_migrations() or _database_clock()
    except DatabaseError as error:
        reason = str(error).strip().partition("\n")[0]
        return [
            Error(
                f"The database cannot be used, so nothing in it was checked: {reason}",
                hint="Look at DATABASE_URL (without it: at the rights in DATA_DIR) and whether the server runs.",
                id="tcrconsole.E001",
            )
        ]


def _unapplied_migrations() -> list[CheckMessage]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return []
    return [
        Error(
            f"{len(plan)} migration(s) not applied, the first is {plan[0][0]}.",
            hint="Run manage.py migrate, with workers and web processes of older versions ended.",
            id="tcrconsole.E002",
        )
    ]


@register(Tags.database, SECRETS, deploy=True)
def check_stored_secrets(**_: Any) -> list[CheckMessage]:
    """Also of a plain `manage.py check`; a database that cannot be used is told elsewhere."""
    try:
        return list(_unreadable_secrets())
    except DatabaseError:
        return []


def _unreadable_secrets() -> Iterator[CheckMessage]:
    """Of instances, with the keys of their APIs, and the secrets of the webhooks of rules."""
    instances = Instance.objects.order_by("name").values_list("name", "encrypted_password", "encrypted_api_key")
    stored = [(name, token) for name, *tokens in instances for token in tokens]
    secrets = SyncRule.objects.exclude(encrypted_webhook_secret="").order_by("source__name", "name")
    columns = ("source__name", "name", "encrypted_webhook_secret")
    stored += [(f"{source}/{name}", token) for source, name, token in secrets.values_list(*columns)]
    if names := dict.fromkeys(name for name, token in stored if not _readable(token)):
        yield Error(
            f"No key in CREDENTIAL_KEYS decrypts the stored secrets of: {', '.join(names)}.",
            hint="Add the key with which they were encrypted to CREDENTIAL_KEYS, or enter these again.",
            id="tcrconsole.E003",
        )


def _readable(token: str) -> bool:
    try:
        decrypt(token)
    except CredentialKeyMissing:
        return False
    return True


def _database_clock() -> list[CheckMessage]:
    """SQLite has no clock but this host's."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        (seconds,) = cursor.fetchone()
    return _clock("database", float(seconds) - time())


def _clock(whose: str, ahead: float) -> list[CheckMessage]:
    if abs(ahead) <= CLOCK_SECONDS:
        return []
    return [
        Warning(
            f"The clock of the {whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host's.",
            hint="Have all hosts set their clocks by NTP: heartbeats of workers are compared across hosts.",
            id="tcrconsole.W006",
        )
    ]


@register(Tags.database, deploy=True)
def check_pools(**_: Any) -> list[CheckMessage]:
    """What rules and instances name has workers; not where database or queue is away, which is told elsewhere."""
    try:
        named = {*Instance.objects.values_list("pool", flat=True), *SyncRule.objects.values_list("pool", flat=True)}
        workers = queue_state.inspect().workers if named - {""} else ()
    except (DatabaseError, queue_state.QueueUnreachable):
        return []
    heard = frozenset[str]().union(*(worker.queues for worker in workers))
    wanted = {pool: [pools.queue_name(kind, pool) for kind in pools.KINDS] for pool in sorted(named - {""})}
    deaf = ",".join(pool for pool, names in wanted.items() if not heard.issuperset(names))
    if not deaf:
        return []
    return [
        Error(
            f"No worker serves these pools, which rules or instances name: {deaf}. Their tasks wait.",
            hint=f"Start workers with WORKER_POOLS={deaf} where they reach these registries.",
            id="tcrconsole.E011",
        )
    ]


@register("queue", deploy=True)
def check_queue(**_: Any) -> list[CheckMessage]:
    try:
        state = queue_state.inspect()
    except queue_state.QueueUnreachable as error:
        return [
            Error(
                f"The queue did not answer, so workers and scheduler were not checked: {str(error).rstrip('.')}.",
                hint="Look at REDIS_URL and whether the server runs; that of make run lives as long as the console.",
                id="tcrconsole.E004",
            )
        ]
    return [*_server(state), *_clock("queue", state.clock_ahead), *_hosts(state), *_workers(state)]


def _server(state: queue_state.QueueState) -> Iterator[CheckMessage]:
    if state.version < OLDEST_REDIS:
        yield Error(
            f"The queue's server speaks Redis {'.'.join(map(str, state.version))}, which is too old.",
            hint="Use Redis 6.2 or newer, or Valkey.",
            id="tcrconsole.E005",
        )
    if state.host and not is_loopback_host(state.host) and not state.authenticated:
        yield Error(
            f"{state.host} asks for no password: whoever reaches it can write jobs, and so run code as the workers.",
            hint="Give the server a password and put it into REDIS_URL: redis://:password@host:6379/0.",
            id="tcrconsole.E006",
        )
    if state.eviction not in ("", "noeviction"):
        yield Warning(
            f"The queue's server throws away jobs when its memory is full (maxmemory-policy {state.eviction}).",
            hint="Set maxmemory-policy to noeviction, and use a server or instance apart from caches.",
            id="tcrconsole.W007",
        )
    if not state.persistent:
        yield Warning(
            "The queue's server tells of neither append-only file nor save points: a restart loses its jobs.",
            hint="Set appendonly to yes. Without it tasks wait after a restart until the sweep enqueues them again.",
            id="tcrconsole.W008",
        )


def _hosts(state: queue_state.QueueState) -> Iterator[CheckMessage]:
    others = sorted({worker.host for worker in state.workers} - {socket.gethostname(), ""})
    if others and connection.vendor == "sqlite":
        yield Error(
            f"Workers run on other hosts ({', '.join(others)}), which cannot use this host's SQLite database.",
            hint="Set DATABASE_URL to a PostgreSQL server, the same on every host.",
            id="tcrconsole.E007",
        )
    if others and (made := _made_here()):
        yield Error(
            f"Workers run on other hosts ({', '.join(others)}), but {' and '.join(made)} is this host's own.",
            hint=f"Set the same on every host; what this one uses lies in {settings.DATA_DIR}.",
            id="tcrconsole.E008",
        )


def _workers(state: queue_state.QueueState) -> Iterator[CheckMessage]:
    heard = frozenset[str]().union(*(worker.queues for worker in state.workers))
    if deaf := [name for name in queue.QUEUES if name not in heard]:
        yield Error(
            f"No worker listens to: {', '.join(deaf)}." if heard else "No worker is running; tasks will wait.",
            hint="Start workers that listen to control, push and default, with the command lines of the Procfile.",
            id="tcrconsole.E009",
        )
    if not state.schedulers:
        yield Error(
            "No scheduler is running: nothing enqueues what the queue lost or takes over from dead workers.",
            hint="Start one, as the Procfile does: manage.py rqcron sync.schedule.",
            id="tcrconsole.E010",
        )
    if "control" in heard and state.control_waits > CONTROL_SECONDS:
        yield Warning(
            f"A job in the queue control has waited for {state.control_waits:.0f} s although workers listen to it.",
            hint="Look at the workers' logs: they are stuck, dead without saying so, or too few.",
            id="tcrconsole.W009",
        )
