"""Lines of the log: which task they are about, and what they keep to themselves."""

import json
import logging
import sys
from threading import Thread

import pytest

from sync import logs
from tests.test_settings import load, settings_with


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("sync").makeRecord("sync", logging.WARNING, "file", 1, message, args, None)
    made.__dict__.update(extra)
    logs.Complete().filter(made)
    return made


def told(message: str, *args: object, **extra: object) -> dict[str, object]:
    line = logs.Json().format(record(message, *args, **extra))
    assert "\n" not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_in_json():
    line = told("the queue is away: %s", "refused")
    assert str(line.pop("time")).startswith("20")
    assert line == {"level": "WARNING", "logger": "sync", "message": "the queue is away: refused"}


def test_every_line_of_a_job_tells_its_task_and_rule_whatever_thread_says_it():
    lines: list[dict[str, object]] = []
    with logs.about(task=17, rule=3):
        thread = Thread(target=lambda: lines.append(told("from the engine")))
        thread.start()
        thread.join()
    assert (lines[0]["task"], lines[0]["rule"]) == (17, 3)
    assert "task" not in told("between jobs")
    with logs.about(task=18, rule=None):
        assert "rule" not in told("the rule was deleted")


def test_what_is_attached_besides_is_not_told():
    assert "request" not in told("Not Found: %s", "/x", request="GET /x?token=hidden", status_code=404)


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hidden@queue:6379/0",
        "https://robot:hidden@registry.example/v2/",
        "Authorization: Bearer hidden-as-it-is",
    ],
)
@pytest.mark.parametrize("formatter", [logs.Json(), logs.Text("%(message)s")], ids=["json", "text"])
def test_no_secret_is_in_it(text, formatter):
    assert "hidden" not in formatter.format(record("failed: %s", text))
    try:
        raise ValueError(text)
    except ValueError:
        with_traceback = record("failed")
        with_traceback.exc_info = sys.exc_info()
    line = formatter.format(with_traceback)
    assert "ValueError" in line
    assert "hidden" not in line


def test_text_unless_told_otherwise(tmp_path):
    assert settings_with(tmp_path, "LOG_FORMAT")["LOG_FORMAT"] == "text"
    assert settings_with(tmp_path, "LOG_FORMAT", LOG_FORMAT="json")["LOG_FORMAT"] == "json"
    assert "text or json is expected" in load(tmp_path, "LOG_FORMAT", LOG_FORMAT="xml").stderr
