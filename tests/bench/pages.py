"""How quickly the pages answer from a large PostgreSQL, and how often they ask it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.bench.console import prepared
from tests.bench.measure import Failed
from tests.postgres import temporary_cluster

if TYPE_CHECKING:
    from tests.bench.filling import Filled

MOST_QUERIES, MOST_MILLISECONDS = 12, 150
WARM, ROUNDS = 3, 20
COLUMNS = "  {:44} {:>8} {:>10} {:>10}"


@dataclass(frozen=True)
class Figures:
    page: str
    queries: int
    milliseconds: list[float]

    @property
    def median(self) -> float:
        return median(self.milliseconds)

    def is_bad(self, *, timed: bool) -> bool:
        return self.queries > MOST_QUERIES or (timed and self.median > MOST_MILLISECONDS)

    def __str__(self) -> str:
        return COLUMNS.format(self.page, self.queries, f"{self.median:.1f}", f"{max(self.milliseconds):.1f}")


def run(programs: Path, scale: float) -> None:
    """Fills a database and prints a table. Raises Failed when a page asks too often or takes too long.

    How long is judged at full scale only: a smaller one shows that it runs, on whatever machine.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        temporary_cluster(programs) as url,
        prepared(Path(folder), url),
    ):
        from tests.bench.filling import fill

        began = monotonic()
        filled = fill(scale)
        rows = ", ".join(f"{count:,} {name}" for name, count in filled.rows.items())
        print(f"\npages on PostgreSQL: {rows}; filled in {monotonic() - began:.0f} s", flush=True)
        print(COLUMNS.format("", "queries", "median ms", "worst ms"))
        whole = scale == 1
        found = _measured(filled, ROUNDS if whole else 2)
        bad = [figures.page for figures in found if figures.is_bad(timed=whole)]
    if bad:
        raise Failed(f"More than {MOST_QUERIES} queries or {MOST_MILLISECONDS} ms: {', '.join(bad)}")


def _measured(filled: "Filled", rounds: int) -> Iterator[Figures]:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get())
    for page, url in _pages(client, filled):
        figures = _measure(client, page, url, rounds)
        print(figures, flush=True)
        yield figures
    figures = _measure_preview(client, filled, rounds)
    print(figures, flush=True)
    yield figures


def _measure_preview(client: Any, filled: "Filled", rounds: int) -> Figures:
    """The first request lists the source, as the first look at it does; the others are those of who goes on typing."""
    from tests.bench.previewed import previewed

    with previewed(filled.source) as preview:
        answer = client.post(preview.url, preview.form, headers={"HX-Request": "true"}).content.decode()
        if "may also write to" not in answer or "no time" in answer:
            raise Failed(f"The preview did not tell everything: {answer}")
        return _measure(client, f"preview while typing, {preview.rules:,} rules", preview.url, rounds, preview.form)


def _measure(client: Any, page: str, url: str, rounds: int, form: dict[str, str] | None = None) -> Figures:
    """form: what is posted to it; without, the page is read."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    is_poll = "seen=" in url
    headers = {"HX-Request": "true", "HX-Target": "repositories"} if is_poll else {}
    ask = partial(client.get, url, headers=headers)
    if form:
        ask = partial(client.post, url, form, headers={"HX-Request": "true"})
    milliseconds = []
    for _ in range(WARM + rounds):
        began = monotonic()
        answer = ask()
        milliseconds.append((monotonic() - began) * 1000)
        if answer.status_code != (204 if is_poll else 200):
            raise Failed(f"{page}: {url} answered {answer.status_code}")
    with CaptureQueriesContext(connection) as queries:
        ask()
    return Figures(page, len(queries), milliseconds[WARM:])


def _pages(client: Any, filled: "Filled") -> Iterator[tuple[str, str]]:
    from django.urls import reverse

    source, broad, deep = filled.source.name, filled.broad, filled.deep
    rules, logs = reverse("rules", args=[source]), reverse("rule", args=[source, filled.rule.name])
    task, ended = (reverse("task", args=[source, pk]) for pk in (broad.pk, deep.task_id))
    repository = reverse("task-repository", args=[source, deep.task_id, deep.pk])
    yield "figures for Prometheus", reverse("metrics")
    yield "instances", reverse("instances")
    yield "where is it", reverse("where", query={"ref": "team-1/web:1.2.3"})
    yield "rules", rules
    yield "rules, a later page", f"{rules}?after=rule-00800"
    yield "rules, searched", f"{rules}?q=team-8"
    yield "rules, failing", f"{rules}?state=failing"
    yield "rules, nothing matches", f"{rules}?q=no+such+rule&state=failing"
    for key in ("run", "lag", "status"):
        yield f"rules, sorted by {key}", f"{rules}?sort=-{key}"
    yield "rules, a poll without news", _poll(client, rules, "rules")
    for name in ("instance", "instance-edit", "instance-delete", "rule-new"):
        yield name.replace("-", ", "), reverse(name, args=[source])
    yield "help", reverse("help")
    for name in ("rule-edit", "rule-check", "rule-delete"):
        yield name.replace("-", ", "), reverse(name, args=[source, filled.rule.name])
    yield "triggering logs", logs
    yield "triggering logs, oldest", f"{logs}?before=1"
    yield "triggering logs, failed in 30 days", f"{logs}?status=partial&period=30"
    yield "triggering logs, nothing matches", f"{logs}?status=stopped"
    yield "task of very many repositories", task
    yield "task, its failed repositories", f"{task}?show=failed"
    yield "task, its repositories searched", f"{task}?q=service-0001"
    yield "task, a later page of repositories", f"{task}?after=3,prod/team-2/service-00002"
    yield "task, a poll without news", _poll(client, task, "repositories")
    yield "task that has ended", ended
    yield "repository of very many resources", repository
    yield "repository, a later page", f"{repository}?after=4,v1.5"
    yield "log of a task", reverse("task-log", args=[source, broad.pk])
    yield "log, problems only", reverse("task-log", args=[source, broad.pk]) + "?level=problems"


def _poll(client: Any, url: str, part: str) -> str:
    """What the live part of the page asks for when nothing happened since."""
    from html import unescape
    from re import search

    page = client.get(url).content.decode()
    found = search(rf'<div id="{part}"[^>]* hx-get="([^"]+)"', page)
    if not found:
        raise Failed(f"{url} has no live part {part}")
    return unescape(found[1])
