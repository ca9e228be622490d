"""Help: what the words mean, and where to go."""

from django.test import Client

from sync.models import Status, TaskResource, Trigger
from sync.replication.events import Outcome
from sync.replication.pattern import compile_expression
from sync.views.preferences import SHORTCUTS
from tests.pages.html import attributes, elements, texts


def test_every_status_outcome_trigger_and_key_is_explained(console):
    page = console.get("/help/").content.decode()
    outcomes = {*TaskResource.Outcome.labels, *(outcome.capitalize() for outcome in Outcome)}
    assert {*Status.labels, *Trigger.labels, *outcomes, *(key for key, _ in SHORTCUTS)} <= set(texts(page, "dt"))
    assert len(texts(page, "dt")) == len(texts(page, "dd")) and all(texts(page, "dd"))


def test_its_examples_match_as_it_says(console):
    shown = set(texts(console.get("/help/").content.decode(), "dt"))
    for expression, name, matches in (
        ("web/.*", "web/nginx", True),
        ("web/.*", "web", False),
        ("nginx|redis", "nginx-exporter", False),
        (r"v\d+\.\d+", "v1.2", True),
        (r"v\d+\.\d+", "v1.2.3", False),
        (r"1\.2\..*", "1.2.7", True),
        (r".*-rc\d+", "2.0-rc1", True),
    ):
        assert expression in shown
        assert bool(compile_expression(expression).fullmatch(name)) is matches


def test_it_leads_to_where_one_goes_on_and_marks_no_other_page_as_current(console, rule):
    page = console.get("/help/").content.decode()
    links = [attributes(link) for link in elements(page, "a")]
    assert {"/where/", "/instances/", "/preferences/"} <= {link["href"] for link in links}
    assert [link["href"] for link in links if link.get("aria-current") == "page"] == ["/help/"]


def test_it_is_for_who_is_signed_in(db):
    assert Client().get("/help/").headers["Location"] == "/login/?next=/help/"
