"""The preview beside the form of a rule."""

from sync.models import SyncRule
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_rule_form import listed_source, values

__all__ = ["listed_source", "values"]

URL = "/i/prod-gz/new-rule/preview/"
HTMX = {"HX-Request": "true"}


def status(page: str) -> str:
    return next(words(one) for one in elements(page, "p") if attributes(one).get("role") == "status")


def test_what_matches_before_the_rule_has_a_name_or_a_target(console, listed_source, values):
    answer = console.post(URL, {**values, "name": "", "target": "", "tags": "", "repositories": ""}, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200 and not texts(page, "h1")
    assert status(page).startswith("1 repository, 1 tag match.")
    assert "prod/web:1.0 → prod/web:1.0" in page and "Choose the target instance" in page
    assert not SyncRule.objects.exists()


def test_a_target_that_is_away_and_nothing_that_matches_are_warnings(console, listed_source, values):
    page = console.post(URL, {**values, "tags": "", "repositories": ""}, headers=HTMX).content.decode()
    assert "the connection was refused" in page and status(page).startswith("1 repository")
    page = console.post(URL, {**values, "tags": "v9"}, headers=HTMX).content.decode()
    assert "Nothing matches." in page


def test_a_source_that_is_away_and_a_wrong_expression_are_told(console, source, values):
    page = console.post(URL, values, headers=HTMX).content.decode()
    assert "the connection was refused" in page and "can be saved all the same" in page
    page = console.post(URL, {**values, "tags": "v("}, headers=HTMX).content.decode()
    assert "missing ): v(" in page


def test_without_script_the_button_posts_the_form_and_what_was_typed_is_kept(console, listed_source, values):
    button = by_id(console.get("/i/prod-gz/new-rule/").content.decode(), "preview-now")
    assert attributes(button)["formaction"] == URL
    page = console.post(URL, values | {"repositories": "", "tags": ""}).content.decode()
    assert texts(page, "h1") == ["Create Instance Synchronization Rule"] and status(page).startswith("1 repository")
    assert attributes(by_id(page, "id_name"))["value"] == "web"


def test_configuration_has_it_and_others_do_not_see_it(console, client, listed_source, rule, values):
    url = "/i/prod-gz/rules/web/edit/preview/"
    assert "1 tag match" in console.post(url, values | {"repositories": "", "tags": ""}, headers=HTMX).content.decode()
    assert SyncRule.objects.get().tags == ""
    assert client.post(url, values).status_code == 302 and console.get(url).status_code == 405
