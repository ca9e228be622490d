"""A chart repository for the tests that all kinds share: ChartMuseum with tenants, as its documents describe it."""

from typing import Self

from sync.registries import Registry
from sync.registries.charts.artifact import make_chart
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import charts, package

CREDENTIAL = "user:secret"


class ChartsStage:
    """A tag is a version, a repository a chart in the namespace before it: there is an index for each namespace."""

    title = "chart repository"
    can = frozenset({"list repositories", "delete tags", "explain"})
    # By a web server: tests.kinds.test_charts_source.
    for_real = frozenset({"list repositories"})

    def __enter__(self) -> Self:
        self._museum = FakeChartMuseum(depth=None, credential=CREDENTIAL).__enter__()
        self._opened: list[Registry] = []
        return self

    def __exit__(self, *problem: object) -> None:
        for registry in self._opened:
            registry.client.close()
        self._museum.__exit__(*problem)

    def open(self, side: str = "") -> Registry:
        self._opened.append(charts(self._museum.url, side, CREDENTIAL))
        return self._opened[-1]

    def add(self, repository: str, tag: str, text: str) -> str:
        """Adds a chart, or replaces it; the digest of the manifest that it is seen as."""
        namespace, _, name = repository.rpartition("/")
        content = package(name, tag.replace("_", "+"), text)
        self._museum.store(namespace, content)
        return make_chart(content).manifest.digest

    def is_private(self, namespace: str) -> bool:
        """The whole museum asks for a password."""
        return True

    def requests(self) -> int:
        return len(self._museum.requests)
