"""docs/alerts.yaml and docs/operations.md name metrics that there are, and the page names all of them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sync import queue_state
from sync.services import metrics

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAME = re.compile(r"\btcrconsole_\w+")
ENDS = ("_total", "_created")

pytestmark = pytest.mark.django_db


@pytest.fixture
def names(valkey, monkeypatch) -> set[str]:
    """Of every metric, as Prometheus stores them, whether or not it has a value now."""
    state = queue_state.inspect()
    families = [*metrics._Figures().collect(), *metrics._staff(replace(state, scheduler_silent=1.0))]
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in families}


def test_each_alert_is_about_metrics_that_there_are(names):
    (group,) = yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"]
    for alert in group["rules"]:
        found = set(NAME.findall(alert["expr"]))
        assert found or alert["expr"].startswith("up{"), alert["alert"]
        assert found <= names, alert["alert"]
        assert alert["annotations"]["summary"].endswith(".")
        assert alert["labels"]["severity"] in ("page", "warn", "info")


def test_the_page_names_every_metric_and_every_alert(names):
    page = (DOCS / "operations.md").read_text()
    assert set(NAME.findall(page)) == names
    for alert in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"][0]["rules"]:
        assert alert["alert"] in page


def test_the_dashboard_is_about_metrics_that_there_are(names):
    panels = json.loads((DOCS / "grafana.json").read_text())["panels"]
    asked = {panel["title"]: set(NAME.findall(target["expr"])) for panel in panels for target in panel["targets"]}
    assert asked and all(found and found <= names for found in asked.values()), asked
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
