"""The registry program and how it is run: what other tests and the demo build upon."""

import ssl
import stat
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from demo import registries
from demo.content import build, push
from demo.registries import RegistryServer, RegistryUnavailable, TlsIdentity, find_registry_binary
from sync.oci.client import Client
from sync.oci.places import Endpoint
from tests.support import htpasswd, self_signed


def test_a_program_that_only_has_the_name_is_not_taken(tmp_path, monkeypatch):
    _program(tmp_path / "registry", "echo some other registry 1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RegistryUnavailable, match="install Debian's package docker-registry"):
        find_registry_binary(tmp_path / "cache")


def test_a_distribution_on_path_is_taken(tmp_path, monkeypatch):
    program = _program(tmp_path / "registry", "echo registry github.com/distribution/distribution/v3 v3.0.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_registry_binary(tmp_path / "cache") == program


def test_content_in_memory_goes_and_content_in_a_folder_stays(registry_binary, tmp_path):
    hello = [item for item in build() if item.repository == "hello"]
    for folder, expected in ((None, []), (tmp_path / "registry", ["hello"])):
        registry = RegistryServer(registry_binary, folder)
        with registry:
            push(hello, registry.url)
        with registry:
            assert list(Client(Endpoint(url=registry.url)).catalog()) == expected


def test_a_registry_with_a_password_asks_for_it(start_registry):
    registry = start_registry(htpasswd=htpasswd("robot", "secret"))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{registry.url}/v2/")
    token = b64encode(b"robot:secret").decode()
    request = urllib.request.Request(f"{registry.url}/v2/", headers={"Authorization": f"Basic {token}"})
    assert urllib.request.urlopen(request).status == 200


def test_a_registry_with_a_certificate_of_its_own_speaks_https(start_registry):
    certificate, key = self_signed("127.0.0.1")
    registry = start_registry(tls=TlsIdentity(certificate, key))
    assert registry.url.startswith("https://")
    trusting = ssl.create_default_context(cadata=certificate)
    assert urllib.request.urlopen(f"{registry.url}/v2/", context=trusting).status == 200


def test_one_that_cannot_start_says_what_its_log_says(registry_binary, start_registry):
    taken = start_registry()
    with pytest.raises(RegistryUnavailable, match="address already in use"):
        RegistryServer(registry_binary, port=taken.port, tls=TlsIdentity(*self_signed("127.0.0.1"))).start()


def test_the_container_engine_stands_in_with_the_same_folder_and_port(tmp_path, monkeypatch):
    """No container engine can be counted on here: what would be run is looked at instead."""
    _program(tmp_path / "docker", f'echo "$@" >> {tmp_path}/called')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(registries, "_from_debian", lambda cache: None)
    monkeypatch.setattr(registries, "_on_path", lambda cache: None)
    wrapper = find_registry_binary(tmp_path / "cache")
    server = RegistryServer(wrapper, tmp_path / "data")
    with pytest.raises(RegistryUnavailable, match="ended at once"):
        server.start()
    run = (tmp_path / "called").read_text().splitlines()[-1]
    assert f"-p 127.0.0.1:{server.port}:{server.port} -v {tmp_path}/data:{tmp_path}/data" in run
    assert run.endswith(f"registry:2 serve {tmp_path}/data/config.yml")


def _program(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
