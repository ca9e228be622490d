"""A whole story with secrets that can be recognized, and a search for them in everything that anybody can read."""

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.conf import settings as of_project
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import connection
from django.test import Client
from django.views.debug import ExceptionReporter
from redis import Redis

from sync import jobs
from sync.models import Announcement, Instance, SyncRule, SyncTask
from sync.services import bulk, configure
from tests.fakes.registry import Answer, FakeRegistry, Received
from tests.pages.html import by_id, words
from tests.pages.tokens import Pipeline
from tests.parts import require

USER = "robot"
NAMES = ("password", "target", "api-key", "webhook", "address", "proxy", "provider")
# Who may change a rule sees where it tells of its tasks.
MEANT = {("address", "i/gz/rules/web/edit/"), ("address", "dump_rules")}


def marker(name: str) -> str:
    return f"mark-{name}-{uuid4().hex}"


def echo(request: Received) -> Answer:
    """Says what it was sent: as it came, decoded, and where a message would be cut off in its midst."""
    sent = request.headers.get("Authorization", "")
    if not sent:
        return Answer(401, {"WWW-Authenticate": 'Basic realm="echo"'})
    code = sent.partition(" ")[2]
    said = f"refused: {sent} {code} {base64.b64decode(code).decode()} {'x' * 330} {code}"
    return Answer(403, body=json.dumps({"errors": [{"code": "DENIED", "message": said, "detail": said}]}).encode())


@pytest.fixture
def echoing() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        for method in ("HEAD", "GET", "POST", "PUT"):
            registry.script(method, "/", echo)
        yield registry


class Story:
    """What a console has seen, and all that can be read afterwards."""

    def __init__(self, console: Client, url: str) -> None:
        self.console, self.url = console, url
        self.secrets = {name: marker(name) for name in NAMES}
        of_project.OIDC_RP_CLIENT_SECRET = self.secrets["provider"]
        self.read: dict[str, str] = {}

    def look(self, name: str, url: str) -> str:
        text = b"".join(self.console.get(url)).decode()
        self.read[name] = text
        return text

    def register(self, name: str, **fields: str) -> int:
        kept = {"kind": "registry", "name": name, "region": name, "url": self.url, "username": USER, **fields}
        limits = {"connect_timeout": 10, "read_timeout": 60, "max_connections": 64, "poll_minutes": 0}
        status: int = self.console.post("/instances/new/", {**limits, **kept}).status_code
        return status

    def set_up(self) -> None:
        assert self.register("gz", password=self.secrets["password"]) == 302
        assert self.register("eu", password=self.secrets["target"]) == 302
        tcr = {"kind": "tcr", "api_key_id": "AKID", "api_region": "ap-x", "registry_id": "tcr-1"}
        assert self.register("tcr", password="p" * 9, api_key=self.secrets["api-key"], **tcr) == 302
        assert self.register("other", proxy=f"http://u:{self.secrets['proxy']}@proxy.example") == 422
        page = self.console.post("/i/gz/secret/", {"seen": ""}).content.decode()
        self.secrets["hook"] = words(by_id(page, "copy-secret"))
        made = {"name": "ci", "role": "operate_instance", "days": "30"}
        page = self.console.post("/i/gz/tokens/", made).content.decode()
        self.secrets["token"] = words(by_id(page, "copy-token"))
        address = f"https://127.0.0.1:1/told?key={self.secrets['address']}"
        hook = {"webhook_url": address, "webhook_secret": self.secrets["webhook"]}
        rule = {"name": "web", "source_namespace": "prod", "repositories": "a|b", "images": "on", "parallelism": "4"}
        target = str(Instance.objects.get(name="eu").pk)
        assert self.console.post("/i/gz/new-rule/", {**rule, **hook, "target": target}).status_code == 302

    def happen(self) -> None:
        hook = {"Authorization": f"Bearer {self.secrets['hook']}"}
        event = {"action": "push", "target": {"repository": "prod/a", "tag": "v1"}}
        told = self.console.post("/hooks/gz/", {"events": [event]}, content_type="application/json", headers=hook)
        assert told.status_code == 202
        pipeline = Pipeline(self.secrets["token"])
        assert pipeline.post("sync", {"rule": "web"}).status_code == 202
        self.console.post("/i/gz/rules/web/sync/")
        self.read["queue"] = everything_in_redis()
        for task in SyncTask.objects.all():
            jobs.execute_task(task.pk)
        jobs.dispatch()
        for announcement in Announcement.objects.all():
            jobs.announce(announcement.pk)
        self.read["queue later"] = everything_in_redis()
        task = SyncTask.objects.earliest("pk")
        assert task.status == "failed" and "refused" in task.reason + told_of(task)
        self.read["api"] = pipeline.get(f"tasks/{task.pk}").content.decode()
        self.read["api where"] = pipeline.get("where", ref="prod/a:v1").content.decode()
        for name in ("gz", "tcr"):
            self.read[f"test of {name}"] = self.console.post(f"/i/{name}/check/").content.decode()

    def read_pages(self) -> None:
        task = SyncTask.objects.earliest("pk")
        pages = ["instances/", "i/gz/", "i/gz/namespaces/", "instances/gz/edit/", "instances/tcr/edit/", "access/"]
        pages += ["i/gz/access/", "i/gz/tokens/", "i/gz/secret/", "i/gz/rules/", "i/gz/rules/web/", "metrics"]
        pages += ["i/gz/rules/web/edit/", "i/gz/rules/web/check/?run=on", "where/?ref=prod/a:v1&now=on"]
        pages += [f"i/gz/tasks/{task.pk}/{part}" for part in ("", "log/", "log.txt")]
        pages += [f"i/gz/tasks/{task.pk}/repositories/{one.pk}/" for one in task.repositories.all()]
        pages += [f"admin/sync/instance/{Instance.objects.get(name='tcr').pk}/change/"]
        pages += [f"admin/sync/syncrule/{SyncRule.objects.get().pk}/change/", f"admin/sync/synctask/{task.pk}/change/"]
        for page in pages:
            assert self.look(page, f"/{page}"), page

    def read_rest(self) -> None:
        dumped = StringIO()
        call_command("dump_rules", stdout=dumped)
        self.read["dump_rules"] = dumped.getvalue()
        self.read["database"] = dump_of_database()

    def found(self) -> list[str]:
        """Where a secret can be read, in any of the forms in which it travels."""
        return [
            f"{name} in {place}: …{text[max(0, text.index(form) - 80) :][:200]}"
            for name, secret in self.secrets.items()
            for form in forms_of(secret)
            for place, text in self.read.items()
            if form in text and (name, place) not in MEANT
        ]


def forms_of(secret: str) -> tuple[str, ...]:
    """Of what goes by Basic a half: one is left where a text was cut off."""
    code = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    return secret, quote(secret, safe=""), code[8:40], code[-24:]


def told_of(task: SyncTask) -> str:
    return " ".join(reason for one in task.repositories.all() for reason in (one.reason, *resources_of(one)))


def resources_of(repository) -> list[str]:
    return list(repository.resources.values_list("reason", flat=True))


def dump_of_database() -> str:
    """As who makes backups has it."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        return "\n".join(connection.connection.iterdump())
    where, programs = connection.settings_dict, require("postgresql")
    command = [programs / "pg_dump", "-h", where["HOST"], "-p", str(where["PORT"]), "-U", where["USER"], where["NAME"]]
    done = subprocess.run(
        command,
        env={**os.environ, "PGPASSWORD": where["PASSWORD"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def everything_in_redis() -> str:
    found = []
    with Redis.from_url(of_project.REDIS_URL) as server:
        for key in server.scan_iter("*"):
            found.append(repr((key, server.dump(key))))
            if server.type(key) == b"hash":
                found.append(repr(server.hgetall(key)))
    assert found
    return " ".join(found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey")
def test_no_secret_can_be_read_anywhere(console, echoing, settings, caplog):
    settings.WEBHOOK_PRIVATE_ADDRESSES, settings.OIDC_RP_CLIENT_SECRET = True, ""
    caplog.set_level(logging.DEBUG)
    story = Story(console, echoing.url)
    for part in (story.set_up, story.happen, story.read_pages, story.read_rest):
        part()
    story.read["log"] = caplog.text
    assert caplog.records
    assert story.found() == []


def break_down(*_: object, **__: object) -> None:
    raise RuntimeError("a fault of ours")


@pytest.fixture
def reports() -> Iterator[list[str]]:
    """What Django would mail of a fault, with all that it knows."""
    kept: list[str] = []

    def keep(request, **_):
        reporter = ExceptionReporter(request, *sys.exc_info())
        kept.extend((reporter.get_traceback_text(), reporter.get_traceback_html()))

    got_request_exception.connect(keep)
    yield kept
    got_request_exception.disconnect(keep)


def test_a_report_of_a_fault_tells_no_secret(console, echoing, reports, monkeypatch, caplog, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES, settings.OIDC_RP_CLIENT_SECRET = True, ""
    story = Story(console, echoing.url)
    story.set_up()
    console.raise_request_exception = False
    monkeypatch.setattr(configure, "save_instance", break_down)
    monkeypatch.setattr(bulk, "choose", break_down)
    assert story.register("broken", password=story.secrets["password"]) == 500
    pipeline = Pipeline(story.secrets["token"])
    pipeline.client.raise_request_exception = False
    assert pipeline.post("sync", {"rule": "web"}).status_code == 500
    assert len(reports) == 4 and all("a fault of ours" in report for report in reports)
    story.read = dict(enumerate(reports, 1)) | {"log": caplog.text}  # type: ignore[assignment]
    assert story.found() == []
