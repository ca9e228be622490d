"""Long names in a real browser: at no width does a page scroll sideways or a part stick out of its card."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, sync_playwright

from sync.models import Instance, SyncRule
from sync.services import drift
from tests.pages.steps import make_step
from tests.pages.test_tasks import make_repository, make_task

pytestmark = pytest.mark.any_database
WIDTHS = (360, 600, 784, 900, 1000, 1100, 1200, 1280)
NAME, REPOSITORY, TAG = "n" * 64, "r" * 255, "t" * 128
DIGEST = "sha256:" + "a" * 64
# Whether the script has rewritten every time: their titles tell both zones then.
LOCALIZED = '() => [...document.querySelectorAll("time")].every((time) => time.title.includes("("))'
# What reaches beyond the window, and cards that something sticks out of.
STICKING_OUT = """() => {
  document.querySelectorAll("details").forEach((element) => { element.open = true; });
  const edge = document.documentElement.clientWidth + 1;
  const shown = [...document.body.querySelectorAll("*:not(.sr-only, .skip, .stack thead, .stack thead *)")];
  return shown.filter((element) => element.getBoundingClientRect().right > edge
    || (element.matches(".surface, td, dd") && element.scrollWidth > element.clientWidth + 1)
  ).map((element) => element.outerHTML.slice(0, 120));
}"""


def make_crowd() -> dict[str, str]:
    """Rules in every state at once, with words as people choose them: the widest of each column stand together."""
    ends = timezone.localdate() + timedelta(days=5)
    words = {"region": "eu-central-1 (Frankfurt)", "username": "robot", "encrypted_password": "x"}
    source, target, charts, far = (
        Instance.objects.create(
            name=name, url=f"http://127.0.0.1:1/{name}", password_expires_on=ends, **{**words, **more}
        )
        for name, more in (
            ("guangzhou-production", {}),
            ("frankfurt-production-registry", {"healthy": False, "health_reason": "h" * 200}),
            ("charts", {"kind": "charts", "down_since": timezone.now(), "down_reason": "d"}),
            ("far", {"region": "x"}),
        )
    )
    lag = {"lag_median": 86_340, "lag_p95": 90_000, "lag_worst": 359_999, "lag_counted_at": timezone.now()}
    of_all = {"source": source, "source_namespace": "production/teams/payments", "others": True, **lag}
    suspension = f"ann@example.com, who saved this rule last, lacks the right Receive, overwriting on {target.name}."
    for name, to, state, more in (
        ("payments-to-frankfurt", target, "partial", {"suspension": suspension, "repositories": "(a|b)/.*-service"}),
        (NAME, charts, "synchronizing", {"suspension": suspension, "enabled": False}),
        (NAME[1:], far, "synchronizing", {}),
        (NAME[2:], charts, "failed", {}),
    ):
        rule = SyncRule.objects.create(name=name, target=to, **of_all, **more)
        counts = {"planned": 1000, "copied": 998, "failed": 1, "conflict": 12_345, "started_at": timezone.now()}
        make_task(rule, state, reason="Target far: cannot write the manifest, for a long reason", **counts)
    return {
        "rules in every state": reverse("rules", args=[source.name]),
        "rule that is suspended": reverse("rule", args=[source.name, "payments-to-frankfurt"]),
        "instance with rules in every state": reverse("instance", args=[source.name]),
    }


@pytest.fixture
def urls(source: Instance, target: Instance) -> dict[str, str]:
    """Every page that shows names, all of them as long as they may be."""
    for number, instance in enumerate((source, target)):
        instance.name, instance.region = f"{number}{NAME[1:]}", NAME
        instance.url = f"http://127.0.0.1:1/{'u' * 200}"
        instance.down_since = instance.next_try_at = timezone.now()
        instance.down_reason = "d" * 300
        instance.hook_secret_hash, instance.hook_secret_set_at = "a" * 64, timezone.now()
        instance.notified_at = timezone.now()
        instance.save()
    rule = SyncRule.objects.create(
        name=NAME,
        description="d" * 200,
        source=source,
        source_namespace=REPOSITORY,
        repositories="e" * 500,
        tags="v.*",
        others=True,
        target=target,
    )
    task = make_task(rule, "partial", planned=2, copied=1, failed=1, conflict=1, actor="root", reason="x" * 300)
    repository = make_repository(task, REPOSITORY, "partial", planned=2, failed=1, listed=True)
    for level in ("info", "warning", "error"):
        task.log.create(level=level, repository=REPOSITORY, message="m" * 2000)
    waiting = make_task(rule, "synchronizing", retry_of=task, reason="x" * 300)
    make_repository(waiting, REPOSITORY, "waiting", reason="x" * 300, next_try_at=timezone.now())
    working = make_repository(waiting, f"{REPOSITORY[:-1]}w", "synchronizing", planned=3, listed=True, reason="x" * 300)
    later = timezone.now() + timedelta(hours=1)
    waiting.parts.create(repository=working, claim="a-worker", under_way={TAG: [10**9, 10**10]})
    waiting.parts.create(repository=working, tags=[TAG[1:]], put_offs=2, not_before=later)
    make_repository(task, "prod/web", planned=1, copied=1, listed=True)
    for tag, outcome in ((TAG, "conflict"), ("1.0", "copied")):
        repository.resources.create(tag=tag, outcome=outcome, digest=DIGEST, target_digest=DIGEST, kind="image")
    repository.resources.create(
        tag="f", outcome="failed", digest=DIGEST, operation="o" * 600, code="C" * 64, reason=TAG
    )
    of_rule, of_task = [source.name, NAME], [source.name, task.pk]
    return {
        **make_crowd(),
        **{name: reverse(name, args=of_rule) for name in ("rule", "rule-edit", "rule-delete", "rule-check")},
        "check that goes on": reverse("rule-check", args=of_rule, query={"run": "on"}),
        "check that is done": reverse("rule-check", args=of_rule, query={"run": "done"}),
        **{name: reverse(name, args=of_task) for name in ("task", "task-stop", "task-log")},
        "task that waits": reverse("task", args=[source.name, waiting.pk]),
        "what is under way": reverse("task-repository", args=[source.name, waiting.pk, working.pk]),
        "log by repository": reverse("task-log", args=of_task, query={"group": "repository"}),
        **{
            name: reverse(name, args=[source.name])
            for name in ("rules", "instance", "instance-edit", "instance-delete", "hook-secret")
        },
        "task-repository": reverse("task-repository", args=[*of_task, repository.pk]),
        "instances": reverse("instances"),
        "where": reverse("where", query={"ref": f"{REPOSITORY[:240]}/web:{TAG}"}),
        "preferences": reverse("preferences"),
    }


@pytest.fixture
def screens(console, urls, chromium: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Page]]:
    """A browser that is given the pages as rendered here, and the static files from their folder.

    Once with script and once without: times, for one, are shorter once they are those of the reader's zone.
    """
    stages = [drift.Stage.SOURCE, drift.Stage.DONE]
    monkeypatch.setattr(drift, "go_on", lambda *_: make_step(REPOSITORY, TAG, stages.pop(0)))
    pages = {url: console.get(url).content.decode() for url in urls.values()}

    def answer(route: Route) -> None:
        parts = urlsplit(route.request.url)
        path = parts.path
        if "hx-request" in route.request.headers:
            route.abort()  # pages are as they came
        elif (url := f"{path}{parts.query and '?'}{parts.query}") in pages:
            route.fulfill(body=pages[url], content_type="text/html")
        elif path.startswith("/static/") and (file := finders.find(path.removeprefix("/static/"))):
            route.fulfill(path=file)
        else:
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        pages_shown = [browser.new_page(java_script_enabled=script) for script in (True, False)]
        for page in pages_shown:
            page.route("**/*", answer)
        yield pages_shown
        browser.close()


def test_long_names_fit_at_every_width(screens, urls):
    for (name, url), screen in product(urls.items(), screens):
        screen.goto(f"http://console.example{url}")
        if screen is screens[0]:
            screen.wait_for_function(LOCALIZED)
        for width in WIDTHS:
            screen.set_viewport_size({"width": width, "height": 800})
            assert (name, width, screen.evaluate(STICKING_OUT)) == (name, width, [])
            wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert (name, width, wider) == (name, width, 0)
