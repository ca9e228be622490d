import pytest

from tests.fakes.harbor import FakeHarbor
from tests.kinds.harbor_stage import HarborStage
from tests.registries import judge, namespace, quick_backoff, source, target

__all__ = ["judge", "namespace", "quick_backoff", "source", "target"]


@pytest.fixture
def stage():
    with HarborStage() as stage:
        yield stage


@pytest.fixture
def fake(stage: HarborStage) -> FakeHarbor:
    return stage.fake
