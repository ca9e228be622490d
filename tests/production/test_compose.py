"""compose.yaml and Dockerfile: nothing runs them here, so what can be known by reading is looked at."""

import json
import re
from fnmatch import fnmatch

import pytest
from honcho.environ import parse_procfile

from tcrconsole.secrets import IN_FILES
from tests.production import composed
from tests.production.test_processes import STARTED

SETTINGS = (composed.PROJECT / "tcrconsole" / "settings.py").read_text()
# Read by the web server's health check and by settings.
KNOWN = {*re.findall(r'env\.\w+\(\s*"(\w+)"', SETTINGS), *(f"{name}_FILE" for name in IN_FILES)}
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*")


def test_every_process_of_the_console_is_tried_without_containers():
    assert composed.own().keys() == set(STARTED)


@pytest.mark.parametrize("name", ["worker", "express", "scheduler"])
def test_the_command_lines_are_those_of_the_procfile(name):
    line = parse_procfile((composed.PROJECT / "Procfile").read_text()).processes[name]
    assert line.removeprefix("exec ").removesuffix(" >/dev/null") == " ".join(composed.services()[name]["command"])


def test_every_setting_exists():
    for name, service in composed.own().items():
        assert service["environment"].keys() <= KNOWN, name


def test_secrets_are_files_and_nothing_has_a_default_password():
    text = (composed.PROJECT / "compose.yaml").read_text()
    declared = composed.document()["secrets"]
    for name, service in composed.services().items():
        assert set(service["secrets"]) <= declared.keys(), name
        for variable, value in service["environment"].items() if "environment" in service else ():
            if re.search(r"PASSWORD|SECRET|KEY|TOKEN|DATABASE|REDIS", variable):
                assert variable.endswith("_FILE"), variable
                assert value.removeprefix(composed.SECRETS) in service["secrets"]
    assert not re.search(r"://[^\s/@]+:[^\s/@]+@", text)
    ignored = (composed.PROJECT / ".gitignore").read_text().splitlines()
    assert {"secrets/", ".env"} <= set(ignored)


def test_every_service_is_started_again_and_says_how_it_is():
    for name, service in composed.services().items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        assert "test" in service["healthcheck"] or service["healthcheck"]["disable"], name
    for name, service in composed.own().items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert {"postgres"} <= service["depends_on"].keys(), name


def test_images_are_pinned():
    images = [service["image"] for service in composed.services().values() if "build" not in service]
    images += [rest.split()[0] for word, rest in composed.instructions() if word == "FROM"]
    for image in images:
        assert PINNED.fullmatch(image), image
        assert "latest" not in image


def test_the_image():
    found = composed.instructions()
    assert composed.last("USER", found).split(":")[0] not in ("root", "0")
    check = composed.last("HEALTHCHECK", found)
    assert "tcrconsole.probe" in check
    assert composed.services()["web"]["healthcheck"]["test"][1:] == json.loads(check[check.index("[") :])
    assert json.loads(composed.last("CMD", found)) == composed.services()["web"]["command"]
    assert "--workers" in composed.services()["web"]["command"]


def test_the_image_gets_what_it_needs_and_nothing_else():
    copied = [rest.split() for word, rest in composed.instructions() if word == "COPY" and "--from" not in rest]
    sources = [name for *names, _ in copied for name in names]
    let_in = [line[1:] for line in (composed.PROJECT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    for name in sources:
        assert (composed.PROJECT / name).exists(), name
        assert any(fnmatch(name, one) for one in let_in), name
    assert sorted(let_in) == sorted(sources)
