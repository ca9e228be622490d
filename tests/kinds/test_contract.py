"""What every kind of registry keeps, whatever it is; and the table that tells which of it was tried, and how."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from sync.models import Instance
from sync.oci.errors import OciError
from sync.oci.places import Endpoint
from sync.registries import KINDS, OnlyByDigest, Registry, open_registry
from sync.replication.events import Event
from sync.replication.plan import list_repositories
from sync.replication.run import Replication
from sync.replication.whereabouts import Hints
from sync.replication.work import Limits, RepositoryWork
from tests.kinds import stages
from tests.kinds.charts_stage import ChartsStage
from tests.kinds.harbor_stage import HarborStage
from tests.kinds.stages import PLAIN, PRESETS, OnRegistry, Stage, fresh_namespace
from tests.kinds.tcr_stage import TcrStage
from tests.replication.support import Ran, spec

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "registries.md"

# How each kind is put on the stage, given the address of a real registry.
OPENERS: dict[str, Callable[[str], Stage]] = {
    "registry": partial(OnRegistry, "registry", "OCI registry", PLAIN, PLAIN),
    "tcr": TcrStage,
    "harbor": lambda url: HarborStage(),
    "charts": lambda url: ChartsStage(),
    **{kind: partial(OnRegistry, kind, title, can, stages.NOTHING) for kind, (title, can) in PRESETS.items()},
}


@pytest.fixture(scope="module", params=OPENERS)
def stage(request: pytest.FixtureRequest, source: str) -> Iterator[Stage]:
    with OPENERS[request.param](source) as opened:
        yield opened


@pytest.fixture
def registry(stage: Stage) -> Iterator[Registry]:
    opened = stage.open("source")
    yield opened
    opened.client.close()


@pytest.fixture
def space(stage: Stage, registry: Registry) -> str:
    """A namespace of the test's own."""
    name = fresh_namespace()
    registry.ensure_namespace(name)
    return name


def run(from_: Registry, to: Registry, namespace: str, there: str = "", quick: Ran | None = None) -> Ran:
    """The engine over the repository `web`. quick: what an earlier run brought is trusted."""
    wanted = spec(source_namespace=namespace, target_namespace=there, repositories="web")
    verified = {one.tag: one.digest for one in quick.resources.values()} if quick else {}
    names = list_repositories(from_, wanted)
    work = (RepositoryWork(name, verified=verified, trusted=frozenset(verified)) for name in names)
    engine = Replication(from_, to, wanted, threading.Event(), Limits(), Hints())
    happened = engine.run(lambda most: list(islice(work, most)), lambda: False)
    return Ran([event for event in happened if isinstance(event, Event)])


def held(registry: Registry, namespace: str, tag: str) -> str | None:
    found = registry.client.head_manifest(f"{namespace}/web", tag)
    return found.digest if found else None


def test_every_kind_that_an_instance_may_have_is_there_and_keeps_the_contract():
    assert list(KINDS) == [kind.value for kind in Instance.Kind] and KINDS.keys() == OPENERS.keys()


def test_a_tag_stands_for_what_was_put_there(stage, registry, space):
    digest = stage.add(f"{space}/web", "1.0.0", "one")
    assert held(registry, space, "1.0.0") == digest
    assert registry.client.get_manifest(f"{space}/web", digest).digest == digest
    assert held(registry, space, "9.9.9") is None


def test_the_resources_of_a_repository_are_its_tags(stage, registry, space):
    added = {tag: stage.add(f"{space}/web", tag, tag) for tag in ("1.0.0", "1.0.1", "2.0.0")}
    resources = list(registry.resources(f"{space}/web"))
    assert {one.tag: one.digest or added[one.tag] for one in resources} == added
    assert {one.repository for one in resources} == {f"{space}/web"}


def test_digests_are_listed_where_the_kind_can(stage, registry, space):
    added = {tag: stage.add(f"{space}/web", tag, tag) for tag in ("1.0.0", "1.0.1")}
    told = registry.digests(f"{space}/web")
    if stages.LIST_DIGESTS in stage.can:
        assert told == added
    else:
        assert told is None and not registry.lists_digests


def test_the_repositories_of_a_namespace_and_no_others(stage, registry, space):
    elsewhere = fresh_namespace()
    registry.ensure_namespace(elsewhere)
    for name in (f"{space}/web", f"{space}/api", f"{elsewhere}/web"):
        stage.add(name, "1.0.0", name)
    if stages.LIST_REPOSITORIES in stage.can:
        assert sorted(registry.repositories(space)) == [f"{space}/api", f"{space}/web"]
    else:
        with pytest.raises(OciError) as refused:
            list(registry.repositories(space))
        assert "Name the repositories" in refused.value.hint


def test_namespaces_with_how_many_repositories_they_have(stage, registry, space):
    stage.add(f"{space}/web", "1.0.0", "one")
    stage.add(f"{space}/api", "1.0.0", "one")
    if stages.LIST_NAMESPACES in stage.can:
        found = registry.namespaces()
        assert found[space] == 2 and list(found) == sorted(found)
    else:
        with suppress(OciError):
            assert space not in registry.namespaces(), "what it cannot list it does not tell in part"


def test_a_namespace_is_made_once_and_private_though_several_need_it(stage):
    name = fresh_namespace()
    opened = [stage.open("target") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.ensure_namespace(name), opened))
    stage.add(f"{name}/web", "1.0.0", "one")
    if stages.CREATE_NAMESPACES in stage.can:
        assert stage.is_private(name)


def test_a_tag_is_deleted_alone_or_not_at_all(stage, registry, space):
    digest = stage.add(f"{space}/web", "1.0.0", "same")
    other = stage.add(f"{space}/web", "1.0.1", "same")
    asked = []
    try:
        registry.delete_tag(f"{space}/web", "1.0.0", lambda: asked.append(1))
    except OnlyByDigest:
        assert stages.DELETE_TAGS not in stage.can
        assert held(registry, space, "1.0.0") == digest
    else:
        assert stages.DELETE_TAGS in stage.can
        assert held(registry, space, "1.0.0") is None
    assert asked, "it is asked before anything is sent whether it still may"
    assert held(registry, space, "1.0.1") == other


def test_from_the_kind_once_then_unchanged_quick_or_not(stage, space, target):
    digest = stage.add(f"{space}/web", "1.0.0", "one")
    to = open_registry("registry", Endpoint(target), side="target")
    first = run(stage.open("source"), to, space)
    assert first.outcomes == {f"{space}/web:1.0.0": "copied"}
    assert held(to, space, "1.0.0") == digest
    for quick in (None, first):
        again = run(stage.open("source"), to, space, quick=quick)
        assert again.outcomes == {f"{space}/web:1.0.0": "unchanged"} and not again.moved_bytes


def test_to_the_kind_once_then_unchanged(stage, source, target, space):
    """From what a stage of the same kind holds, over a plain registry between them."""
    stage.add(f"{space}/web", "1.0.0", "one")
    between = open_registry("registry", Endpoint(target), side="target")
    run(stage.open("source"), between, space)
    there = fresh_namespace()
    for outcome in ("copied", "unchanged"):
        from_ = open_registry("registry", Endpoint(target), side="source")
        ran = run(from_, stage.open("target"), space, there)
        assert ran.outcomes == {f"{space}/web:1.0.0": outcome}
    assert stage.open().client.head_manifest(f"{there}/web", "1.0.0") is not None


def test_an_error_says_where_it_happened(stage, registry):
    with pytest.raises(OciError) as raised:
        list(registry.client.tags(f"{fresh_namespace()}/nothing"))
    assert raised.value.side == "source" and raised.value.operation and raised.value.registry


def how(stage: Stage, capability: str) -> str:
    if capability not in stage.can:
        return "-"
    return "real" if capability in stage.for_real else "documented"


def table() -> str:
    """Kind by capability, as docs/registries.md has it."""
    head = f"| kind | {' | '.join(stages.CAPABILITIES)} |\n|{'---|' * (len(stages.CAPABILITIES) + 1)}\n"
    rows = []
    for kind, opener in OPENERS.items():
        one = opener("http://127.0.0.1:1")
        can = " | ".join(how(one, what) for what in stages.CAPABILITIES)
        rows.append(f"| {Instance.Kind(kind).label} | {can} |\n")
    return head + "".join(rows)


def test_the_documents_tell_what_was_tried_and_how():
    assert table() in DOCUMENT.read_text(), f"docs/registries.md lacks this table:\n{table()}"
