"""The rooms of the project: who may import whom, and how long things may be."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CODE = [
    path
    for folder in ("sync", "tcrconsole", "demo", "tests")
    for path in (PROJECT / folder).rglob("*.py")
    if "migrations" not in path.parts
]
FUNCTION_LINES, FILE_LINES = 60, 400

# What each room may import of the project's own code.
ENGINE = ("sync.oci", "sync.registries", "sync.replication")
NOUNS = ("sync.models", "sync.credentials")
QUEUE = ("sync.pools", "sync.queue", "sync.queue_state")
ALLOWED = {
    "sync.oci": ("sync.oci",),
    "sync.registries": ("sync.oci", "sync.registries"),
    "sync.replication": ENGINE,
    "sync.credentials": (),
    "sync.cron": (),
    "sync.models": (*NOUNS, "sync.cron", "sync.replication.pattern", "sync.oci.reference"),
    "sync.logs": ("sync.oci.errors",),
    "sync.pools": (),
    "sync.queue": ("sync.pools",),
    "sync.shared": ("sync.queue", "sync.replication.whereabouts"),
    "sync.limits": ("sync.queue", "sync.limits", "sync.oci.guest", "sync.oci.errors"),
    "sync.queue_state": ("sync.queue",),
    "sync.services": (*ENGINE, *NOUNS, *QUEUE, "sync.services", "sync.cron", "sync.shared", "sync.limits"),
    "sync.jobs": ("sync.logs", "sync.queue", "sync.models", "sync.services"),
    "sync.schedule": ("sync.jobs", "sync.queue"),
    "sync.access": ("sync.models", "sync.services.grants", "sync.services.reading"),
    "sync.concealing": ("sync.models", "sync.services.reading"),
    "sync.checks": (*NOUNS, *QUEUE, "sync.oci.reference"),
}
# Pages, forms, admin and commands show what the engine tells; they never run it.
NEVER_ABOVE_SERVICES = (
    "sync.oci.client",
    "sync.oci.transport",
    "sync.oci.session",
    "sync.registries",
    "sync.replication.run",
    "sync.replication.transfer",
    "sync.replication.plan.Planner",
    "sync.queue",
    "sync.queue_state",
    "sync.jobs",
)
ABOVE_SERVICES = ("sync.views", "sync.forms", "sync.admin", "sync.management", "sync.templatetags", "sync.urls")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Everything that a file imports, wherever in it: `from a.b import c` is a.b.c."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where the arrow points"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_one_way(room):
    paths = [path for path in CODE if within(module_of(path), (room,))]
    assert paths
    wrong = [
        f"{module_of(path)} imports {name}"
        for path in paths
        for name in imports(path)
        if within(name, ("sync", "tcrconsole", "demo", "tests")) and not within(name, ALLOWED[room])
    ]
    assert wrong == []


def test_pages_and_commands_leave_the_engine_to_the_services():
    wrong = [
        f"{module_of(path)} imports {name}"
        for path in CODE
        if within(module_of(path), ABOVE_SERVICES)
        for name in imports(path)
        if within(name, NEVER_ABOVE_SERVICES)
    ]
    assert wrong == []


def test_every_room_of_the_application_is_known_here():
    rooms = {".".join(module_of(path).split(".")[:2]) for path in CODE if path.is_relative_to(PROJECT / "sync")}
    assert rooms - set(ALLOWED) - set(ABOVE_SERVICES) == {"sync", "sync.apps"}


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("django_rq", {"sync.queue", "sync.queue_state"}),
        ("rq", {"sync.queue", "sync.queue_state", "sync.schedule"}),
        ("redis", {"sync.queue", "sync.queue_state", "sync.shared", "sync.limits.server"}),
        ("urllib3", {"sync.oci.connection"}),
        ("auditlog", {"sync.models.audit", "sync.services.audit"}),
        ("re2", {"sync.replication.pattern"}),
        ("tencentcloud", {"sync.registries.tcr_api"}),
    ],
)
def test_a_library_has_one_door(library, rooms):
    application = (path for path in CODE if path.is_relative_to(PROJECT / "sync"))
    found = {module_of(path) for path in application if any(within(name, (library,)) for name in imports(path))}
    assert found
    assert found <= rooms


def test_the_engine_needs_no_django():
    modules = sorted(module_of(path) for path in CODE if within(module_of(path), ENGINE))
    program = "import importlib, sys; sys.modules['django'] = None; [importlib.import_module(name) for name in {!r}]"
    done = subprocess.run(
        [sys.executable, "-c", program.format(modules)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(PROJECT)))
def test_functions_and_files_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


SOAK_LOOPS = ("looker", "pushes", "rounds", "tasks")


@pytest.mark.parametrize(
    ("mark", "folders", "allowed"),
    [
        (r"\b(TODO|FIXME|XXX|NotImplementedError)\b|except:", ("sync", "tcrconsole", "demo", "tests"), set()),
        # The soak is a program: its loops look again after a while.
        (
            r"(?<!graph\.)(?<!def )\bsleep\(",
            ("tests",),
            {"tests/support.py", *(f"tests/soak/{name}.py" for name in SOAK_LOOPS)},
        ),
    ],
    ids=["half done", "tests that sleep"],
)
def test_what_the_code_does_not_do(mark, folders, allowed):
    paths = {str(path.relative_to(PROJECT)): path for path in CODE if path != Path(__file__)}
    wrong = [
        f"{name}: {found[0]}"
        for name, path in paths.items()
        if name.split("/")[0] in folders and name not in allowed and (found := re.search(mark, path.read_text()))
    ]
    assert wrong == []
