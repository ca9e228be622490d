from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.registries.charts.shelf import MEMORY
from tests.fakes.harbor import FakeHarbor
from tests.kinds.charts import Site, serving
from tests.kinds.harbor_stage import HarborStage
from tests.registries import judge, namespace, quick_backoff, source, target

__all__ = ["judge", "namespace", "quick_backoff", "source", "target"]


@pytest.fixture(autouse=True)
def new_process() -> None:
    """Nothing is remembered from before."""
    MEMORY.forget()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A web server over an empty folder."""
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site", tmp_path / "site.log") as found:
        yield found


@pytest.fixture
def stage():
    with HarborStage() as stage:
        yield stage


@pytest.fixture
def fake(stage: HarborStage) -> FakeHarbor:
    return stage.fake
