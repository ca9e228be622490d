"""`python -m demo`: the console with two registries on this machine. `python -m demo push`: one more image.

Everything lies in DATA_DIR (var/demo): the registries' content, the console's database, the password of its user.
"""

import argparse
import json
import os
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml
from django.core.management import call_command
from django.urls import reverse

from demo import content
from demo.registries import IN_DOCKER, Listener, RegistryServer, RegistryUnavailable, find_registry_binary, free_port
from sync.oci.errors import OciError
from tcrconsole.launch import PROJECT, command_line, launch, web_url
from tcrconsole.runner import LaunchError, Program
from tcrconsole.secrets import read_or_make

SOURCE, TARGET = "guangzhou", "frankfurt"
REGIONS = {SOURCE: "ap-guangzhou", TARGET: "eu-frankfurt"}
USER = "admin"
# Where a person's own console keeps its data: the demo has its own.
NOT_FOR_DEMO = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CREDENTIAL_KEYS")
# Registries call it an error when somebody asks for what is not there, as syncing does for every tag, and when an
# upload is given up, as testing a connection does.
EXPECTED_ERRORS = 'err.code="(manifest|blob|name) unknown"|error closing blobwriter: .*file already closed'
RULES = [
    {
        "name": "images-to-frankfurt",
        "description": "Released images of prod, kept in a namespace of their own",
        "source": {"instance": SOURCE, "namespace": "prod", "tags": "v.*", "exclude_tags": r".*-rc\d+"},
        "resources": ["image"],
        "target": {"instance": TARGET, "namespace": "mirror"},
    },
    {
        "name": "charts-to-frankfurt",
        "description": "Helm charts of prod, under the same name",
        "source": {"instance": SOURCE, "namespace": "prod", "repositories": "charts/.*"},
        "resources": ["chart"],
        "target": {"instance": TARGET, "namespace": ""},
    },
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("action", nargs="?", choices=["start", "push"], default="start")
    action = parser.parse_args().action
    data_dir = Path(os.environ.get("DATA_DIR") or PROJECT / "var" / "demo").resolve()
    try:
        return start(data_dir) if action == "start" else push_one_more(data_dir)
    except (RegistryUnavailable, LaunchError, OciError) as error:
        print(error, file=sys.stderr)
        return 1


def start(data_dir: Path) -> int:
    for name in NOT_FOR_DEMO:
        os.environ.pop(name, None)
    registries = _registries(data_dir)
    first_time = not _filled(data_dir).exists()
    return launch(
        data_dir,
        prepare=lambda: _prepare(data_dir, registries),
        welcome=lambda: _welcome(data_dir, registries, first_time),
        more={f"registry-{name}": _program(registry) for name, registry in registries.items()},
    )


def push_one_more(data_dir: Path) -> int:
    ports = _read_ports(data_dir)
    if not ports:
        raise LaunchError(
            f"There is no demo in {data_dir}: start it with `make demo`, then push from another terminal."
        )
    pushed = content.push_next(f"http://127.0.0.1:{ports[SOURCE]}")
    how = (
        "images-to-frankfurt brings it"
        if _notifies(find_registry_binary())
        else "Sync of images-to-frankfurt brings it"
    )
    print(f"Pushed {pushed.repository}:{pushed.tag} to {SOURCE}. {how} to {TARGET}.")
    return 0


def _notifies(binary: Path) -> bool:
    """A registry inside a container does not reach the console, which listens on this machine only."""
    return binary.name != IN_DOCKER


def _registries(data_dir: Path) -> dict[str, RegistryServer]:
    binary = find_registry_binary()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        name: RegistryServer(binary, data_dir / f"registry-{name}", port)
        for name, port in _choose_ports(data_dir).items()
    }


def _choose_ports(data_dir: Path) -> dict[str, int]:
    """REGISTRY_PORTS ("5001,5002") as they are; else those of the last time, or others where these are taken."""
    # Taken away: registries would wonder about a REGISTRY_ variable that they do not know.
    configured = os.environ.pop("REGISTRY_PORTS", "")
    if configured:
        ports = configured.split(",")
        if len(ports) != len(REGIONS) or not all(port.strip().isdigit() for port in ports):
            raise LaunchError(f"REGISTRY_PORTS is {configured!r}: two port numbers with a comma between are expected.")
        return dict(zip(REGIONS, map(int, ports), strict=True))
    preferred = _read_ports(data_dir) or {SOURCE: 5001, TARGET: 5002}
    return {name: free_port(preferred[name]) for name in REGIONS}


def _read_ports(data_dir: Path) -> dict[str, int]:
    path = data_dir / "ports"
    return json.loads(path.read_text()) if path.exists() else {}


def _program(registry: RegistryServer) -> Program:
    return Program(f"exec {shlex.join(registry.command)}", registry.environment(), unsaid=EXPECTED_ERRORS)


def _prepare(data_dir: Path, registries: dict[str, RegistryServer]) -> None:
    """What the registry holds, and the console's own part: its user, the instances, at the first start the rules."""
    from django.contrib.auth.models import User  # only after django.setup()

    from sync.models import Instance

    _fill(data_dir, registries[SOURCE])
    ports = {name: registry.port for name, registry in registries.items()}
    (data_dir / "ports").write_text(json.dumps(ports))
    password = _password(data_dir)
    user = User.objects.filter(username=USER).first() or User.objects.create_superuser(USER)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    document = _document(registries, first_time=not Instance.objects.exists())
    path = data_dir / "rules.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    call_command("load_rules", str(path), verbosity=0)
    for name, registry in registries.items():
        if _notifies(registry.binary):
            _set_up_notifications(data_dir, name, registry)
        registry.prepare()


def _set_up_notifications(data_dir: Path, name: str, registry: RegistryServer) -> None:
    """The registry tells the console of every push. Only now it is known where that listens."""
    from sync.models import Instance
    from sync.services.receive import keep_secret

    secret = read_or_make(data_dir / f"hook_secret-{name}", lambda: secrets.token_urlsafe(32))
    keep_secret(Instance.objects.get(name=name), secret)
    registry.listener = Listener(web_url() + reverse("hook", args=[name]), f"Bearer {secret}")


def _document(registries: dict[str, RegistryServer], first_time: bool) -> dict[str, Any]:
    """What `load_rules` reads. Later starts bring only the addresses: rules may have been changed by the user."""
    instances = [{"name": name, "region": REGIONS[name], "url": registry.url} for name, registry in registries.items()]
    return {"instances": instances, "rules": RULES if first_time else []}


def _password(data_dir: Path) -> str:
    return read_or_make(data_dir / "admin_password", lambda: secrets.token_urlsafe(12))


def _welcome(data_dir: Path, registries: dict[str, RegistryServer], first_time: bool) -> None:
    try:
        for registry in registries.values():
            registry.wait()
    except RegistryUnavailable as error:
        raise LaunchError(str(error)) from error
    print(_banner(data_dir, registries, first_time), flush=True)


def _fill(data_dir: Path, registry: RegistryServer) -> None:
    """Push the sample once, before the registry notifies anybody: it is what was there before the rules.

    An interrupted filling is repeated at the next start.
    """
    if _filled(data_dir).exists():
        return
    print(f"Filling the registry {SOURCE} with sample images and charts ...", flush=True)
    try:
        with registry:
            tags = content.push(content.build(), registry.url)
    except (RegistryUnavailable, OciError) as error:
        raise LaunchError(f"The demo's registries could not be filled. {error}") from error
    _filled(data_dir).write_text(f"{tags} tags\n")


def _filled(data_dir: Path) -> Path:
    return data_dir / f"registry-{SOURCE}" / "filled"


def _banner(data_dir: Path, registries: dict[str, RegistryServer], first_time: bool) -> str:
    sync = command_line(data_dir, "manage.py", "bulk_sync", "--all", "--wait")
    content_now = f"images and charts wait in {SOURCE}, {TARGET} is empty" if first_time else "their content was kept"
    arrives = "it arrives by itself" if _notifies(registries[SOURCE].binary) else "then Sync again"
    where = "\n".join(f"    {name:<12}{REGIONS[name]:<15}{registry.url}" for name, registry in registries.items())
    return f"""
  The console answers at  {web_url()}
  Sign in as              {USER}  with the password  {_password(data_dir)}
                          (kept in {data_dir / "admin_password"})

  Two registries run here; {content_now}:
{where}

  Try next:
    - open {web_url()}{reverse("rules", args=[SOURCE])}
      and press Sync at images-to-frankfurt
    - or, in another terminal in {PROJECT}:
        {sync}
    - push one more image; {arrives}:
        {_push_command(data_dir)}
  Ctrl-C ends all of it; the data stays in {data_dir}.
"""


def _push_command(data_dir: Path) -> str:
    return "make demo-push" if data_dir == PROJECT / "var" / "demo" else command_line(data_dir, "-m", "demo", "push")


if __name__ == "__main__":
    sys.exit(main())
