"""Theme and keyboard shortcuts: chosen by POST, kept with the user, there when the page arrives."""

import json

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sync.models import Preference
from tests.pages.html import attributes, by_id, elements, texts
from tests.pages.test_tasks import HTMX

URL = reverse("preferences")


def root_of(client: Client) -> dict[str, str]:
    return attributes(next(elements(client.get(URL).content.decode(), "html")))


def body_of(client: Client) -> dict[str, str]:
    return attributes(next(elements(client.get(URL).content.decode(), "body")))


def test_without_a_choice_the_system_decides_and_shortcuts_are_on(console):
    assert "data-theme" not in root_of(console) and "data-shortcuts" in body_of(console)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_is_there_with_the_page(console, theme):
    answer = console.post(URL, {"theme": theme})
    assert answer.headers["Location"] == URL
    assert root_of(console)["data-theme"] == theme
    page = console.get(URL).content.decode()
    assert f'name="color-scheme" content="{theme}"' in page
    pressed = [
        words["id"] for words in map(attributes, elements(page, "button")) if words.get("aria-pressed") == "true"
    ]
    assert pressed == [f"theme-{theme}"]
    console.post(URL, {"theme": ""})
    assert "data-theme" not in root_of(console)


def test_a_choice_belongs_to_the_user_and_outlives_the_session(console):
    console.post(URL, {"theme": "dark"})
    console.post(URL, {"shortcuts": "false"})
    console.logout()
    again, other = Client(), Client()
    again.force_login(User.objects.get(username="root"))
    other.force_login(User.objects.create_superuser("other"))
    assert root_of(again)["data-theme"] == "dark" and "data-shortcuts" not in body_of(again)
    assert "data-theme" not in root_of(other) and "data-shortcuts" in body_of(other)
    assert "data-theme" not in attributes(next(elements(Client().get("/login/").content.decode(), "html")))


def test_nonsense_changes_nothing(console):
    console.post(URL, {"theme": "dark"})
    console.post(URL, {"theme": "pink", "shortcuts": "perhaps"})
    preference = Preference.objects.get()
    assert (preference.theme, preference.shortcuts) == ("dark", True)


def test_for_htmx_the_panel_and_a_word_to_the_page(console):
    answer = console.post(URL, {"shortcuts": "false"}, headers=HTMX)
    assert json.loads(answer.headers["HX-Trigger"]) == {"preferences": {"theme": "", "shortcuts": False}}
    switch = attributes(by_id(answer.content.decode(), "shortcuts"))
    assert (switch["aria-checked"], switch["value"]) == ("false", "true")


def test_the_dialog_lists_the_keys(console):
    page = console.get(URL, headers=HTMX).content.decode()
    assert texts(page, "kbd") == ["/", "i", "c", "j", "k", "?"]
    assert attributes(by_id(page, "dialog-title")) and not texts(page, "h1")


def test_signed_out_nobody_chooses(client):
    came_from = {"Referer": f"http://testserver{URL}"}
    assert client.post(URL, {"theme": "dark"}, headers=came_from).headers["Location"] == f"/login/?next={URL}"


def test_pages_do_not_ask_the_database_for_them(console):
    with CaptureQueriesContext(connection) as queries:
        console.get(URL)
    assert queries.captured_queries
    assert not [query for query in queries if Preference._meta.db_table in query["sql"]]
