"""The preview beside the form of a rule."""

from datetime import timedelta
from html import unescape
from re import sub

import pytest
from django.utils import timezone

from sync.forms import EXPRESSIONS
from sync.models import Instance, SyncRule
from sync.services.glance import Glance
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_rule_form import listed_source, values

__all__ = ["listed_source", "values"]

URL = "/i/prod-gz/new-rule/preview/"
HTMX = {"HX-Request": "true"}


ALL = {"repositories": "", "tags": ""}


def status(page: str) -> str:
    """The one line that is announced."""
    return words(by_id(page, "preview-count"))


def told(page: str) -> str:
    """The text, as it is read."""
    return " ".join(unescape(sub("<[^>]+>", "", page)).split())


def marks(page: str) -> list[str]:
    return [words(one) for one in elements(page, "span") if "mark" in attributes(one).get("class", "").split()]


def brief(page: str) -> str:
    """The same in the bar that is always in view."""
    return words(by_id(page, "preview-brief"))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, "1 repository, 1 tag match"),
        ({"tags": "v9"}, "Nothing matches"),
        ({"tags": "v("}, "“Tags” does not compile"),
        ({"images": "", "charts": ""}, "No type is chosen"),
        ({"target_namespace": "Prod Web"}, "“Target namespace” needs to be corrected"),
        ({"source_namespace": ""}, "Preview"),
    ],
)
def test_the_bar_of_the_form_says_in_a_few_words_what_matches(console, listed_source, values, typed, said):
    sent = {**values, "tags": "", "repositories": "", **typed}
    for headers in (HTMX, {}):
        page = console.post(URL, sent, headers=headers).content.decode()
        assert brief(page) == said
    assert words(by_id(page, attributes(by_id(page, "preview-brief"))["href"].removeprefix("#"))) == "Preview"


def test_the_bar_of_the_form_says_when_the_source_is_away(console, source, values):
    assert brief(console.post(URL, values, headers=HTMX).content.decode()) == "What matches cannot be told now"


def test_what_matches_before_the_rule_has_a_name_or_a_target(console, listed_source, values):
    answer = console.post(URL, {**values, "name": "", "target": "", "tags": "", "repositories": ""}, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200 and not texts(page, "h1")
    assert status(page).startswith("1 repository, 1 tag match.")
    assert "prod/web:1.0 → prod/web:1.0" in told(page) and "Choose the target instance" in page
    assert marks(page) == []
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
    assert "at character 2: missing closing parenthesis" in page
    assert status(page) == "No preview until this is corrected: Tags."


def test_what_breaks_an_expression_is_marked_where_it_was_typed_and_escaped(console, listed_source, values):
    wrong = {**values, "tags": "<b>v(1|2", "exclude_repositories": "[z-a]"}
    page = console.post(URL, wrong, headers=HTMX).content.decode()
    assert texts(page, "mark") == ["z-a", "("]
    assert "&lt;b&gt;v<mark>(</mark>1|2" in page and "<b>" not in page
    page = console.post("/i/prod-gz/new-rule/", wrong).content.decode()
    error = by_id(page, "id_tags_error")
    assert "at character 5: missing closing parenthesis" in words(error) and texts(page, "mark") == ["z-a", "("]
    page = console.post("/i/prod-gz/new-rule/", {**values, "description": "(", "name": "("}).content.decode()
    assert texts(page, "mark") == []


def test_the_expressions_are_read_out_in_words(console, listed_source, values):
    expressions = {"repositories": ".*web", "tags": "1.0|2.0", "exclude_tags": r"v1|v2\.0"}
    page = console.post(URL, {**values, **expressions}, headers=HTMX).content.decode()
    assert texts(page, "ul")[0] == (
        "Repositories: names that end with web "
        "Tags: names that match the expression as a whole "
        "Exclude tags: tags named v1 or v2.0"
    )
    assert "Repositories:" not in told(console.post(URL, {**values, **ALL}, headers=HTMX).content.decode())


@pytest.mark.parametrize(
    ("namespace", "strong"), [("prod", ["web", "1.0"]), ("/", ["alone", "1.0"]), ("charts", ["web", "1.0"])]
)
def test_the_part_that_is_matched_has_weight(console, listed_source, values, namespace, strong):
    page = console.post(URL, {**values, **ALL, "source_namespace": namespace}, headers=HTMX).content.decode()
    (line,) = (one for one in elements(page, "li") if "→" in words(one))
    assert [words(one) for one in elements(str(line), "strong")] == strong


def test_what_would_move_and_what_becomes_of_it(console, listed_source, values, target, start_registry):
    target.url = start_registry().url
    target.save()
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "Of these: 1 new." in told(page) and marks(page) == ["new"]
    assert "About 7 bytes to move at the most. Less where the target holds some" in told(page)
    page = console.post(URL, {**values, **ALL, "with_referrers": "on"}, headers=HTMX).content.decode()
    assert "to move at the most, not counting attached signatures and attestations." in told(page)


def test_only_the_count_is_announced_and_its_element_stays(console, listed_source, values):
    form = console.get("/i/prod-gz/new-rule/").content.decode()
    assert attributes(by_id(form, "preview-count"))["role"] == "status"
    assert "preview-count" not in str(by_id(form, "preview"))
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    count = by_id(page, "preview-count")
    assert attributes(count)["hx-swap-oob"] == "innerHTML"
    assert words(count) == "1 repository, 1 tag match."
    assert "role=" not in page


def test_an_old_listing_is_marked(console, listed_source, values, monkeypatch):
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "Listed just now." in told(page) and "old listing" not in page
    later = timezone.now() + timedelta(minutes=4)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "Listed 4 min ago. old listing" in told(page)
    assert "old listing" in marks(page)


def test_other_rules_that_may_write_there_are_noted(console, listed_source, values, target):
    other = Instance.objects.create(name="paris", region="eu", url="http://127.0.0.1:1")
    for number in range(4):
        SyncRule.objects.create(
            name=f"r{number}", source=other, source_namespace="team", target=target, target_namespace="prod"
        )
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "Rule r0 may also write to prod/web in prod-eu, from team of paris." in told(page)
    assert "(disabled)" not in told(page)
    assert "r2 may also" in told(page) and "r3 may also" not in told(page) and "And 1 more rule." in told(page)
    assert "/i/paris/rules/r0/" in page
    SyncRule.objects.filter(name__in=["r0", "r1"]).update(enabled=False)
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "Rule r0 (disabled) may also write to prod/web" in told(page) and "Rule r2 may also write" in told(page)


def test_without_script_the_button_posts_the_form_and_what_was_typed_is_kept(console, listed_source, values):
    button = by_id(console.get("/i/prod-gz/new-rule/").content.decode(), "preview-now")
    assert attributes(button)["formaction"] == URL
    page = console.post(URL, values | {"repositories": "", "tags": ""}).content.decode()
    assert texts(page, "h1") == ["Create Instance Synchronization Rule"] and status(page).startswith("1 repository")
    assert "prod/web:1.0 → prod/web:1.0" in told(page) and "hx-swap-oob" not in page
    assert attributes(by_id(page, "id_name"))["value"] == "web"


def test_configuration_has_it_and_others_do_not_see_it(console, client, listed_source, rule, values):
    url = "/i/prod-gz/rules/web/edit/preview/"
    assert "1 tag match" in console.post(url, values | {"repositories": "", "tags": ""}, headers=HTMX).content.decode()
    assert SyncRule.objects.get().tags == ""
    assert client.post(url, values).status_code == 302
    assert console.get(url).headers["Location"] == "/i/prod-gz/rules/web/edit/"
    assert console.head(URL).headers["Location"] == "/i/prod-gz/new-rule/" and console.put(URL).status_code == 405


def test_without_script_only_what_matters_for_the_preview_is_marked(console, listed_source, values):
    page = console.post(URL, values | ALL | {"name": "", "target": "", "parallelism": "x"}).content.decode()
    assert status(page) == "1 repository, 1 tag match." and "Choose the target instance to see" in page
    assert "Not saved" not in page and "Enter a name." not in page and 'class="error"' not in page
    page = console.post(URL, values | {"name": "", "tags": "v("}).content.decode()
    assert status(page) == "No preview until this is corrected: Tags." and by_id(page, "id_tags_error")
    assert "Not saved" not in page and "Enter a name." not in page
    assert "Not saved" in console.post("/i/prod-gz/new-rule/", values | {"tags": "v("}).content.decode()


def test_it_listens_to_the_fields_that_count(console, listed_source):
    page = console.get("/i/prod-gz/new-rule/?list=on").content.decode()
    trigger = attributes(by_id(page, "preview"))["hx-trigger"]
    assert trigger == "load, input delay:400ms from:.previewed-typed, change delay:400ms from:.previewed-chosen"
    fields = [attributes(one) for tag in ("input", "select", "textarea") for one in elements(page, tag)]
    heard: dict[str, set[str]] = {"typed": set(), "chosen": set()}
    for field in fields:
        for how, names in heard.items():
            if f"previewed-{how}" in field.get("class", "").split():
                names.add(field["name"])
    assert heard["typed"] == {*EXPRESSIONS, "target_namespace"}
    chosen = "source_namespace images charts others target overwrite with_referrers"
    assert heard["chosen"] == set(chosen.split())


def test_that_time_was_too_short_for_other_rules_is_told(console, listed_source, values, monkeypatch):
    monkeypatch.setattr("sync.services.glance.overlaps", lambda *_: None)
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert "There was no time to look for other rules that write to the same names." in told(page)


def test_before_a_namespace_is_chosen_it_says_what_will_be_shown(console, listed_source, values):
    calm = "What matches, and under which name it arrives, is shown here once a source namespace is chosen."
    assert status(console.get("/i/prod-gz/new-rule/").content.decode()) == calm
    page = console.post(URL, {**values, "source_namespace": ""}, headers=HTMX).content.decode()
    assert status(page) == calm and "corrected" not in page and 'class="faults"' not in page
    page = console.post(URL, {**values, "source_namespace": "", "tags": "v("}, headers=HTMX).content.decode()
    assert status(page) == "No preview until this is corrected: Tags."


@pytest.mark.parametrize("expression", ["prod/web", "^prod/w.*", "(prod/web|x)", r"prod\/web"])
def test_a_namespace_in_the_expression_is_hinted_at_when_nothing_matches(console, listed_source, values, expression):
    page = console.post(URL, {**values, "tags": "", "repositories": expression}, headers=HTMX).content.decode()
    assert "matched against the name after prod/, so leave prod/ out" in words(by_id(page, "preview-hint"))


@pytest.mark.parametrize("changes", [{"repositories": "product"}, {"repositories": "web"}, {"source_namespace": "/"}])
def test_where_the_namespace_is_not_in_it_nothing_is_hinted(console, listed_source, values, changes):
    page = console.post(URL, {**values, **ALL, "tags": "v9", **changes}, headers=HTMX).content.decode()
    assert "Nothing matches." in page and "preview-hint" not in page


def test_large_numbers_are_grouped(console, listed_source, values, monkeypatch):
    seen = Glance(repositories=1200, tags=31000, complete=True, listed_at=timezone.now())
    monkeypatch.setattr("sync.services.glance.look", lambda *_, **__: seen)
    page = console.post(URL, {**values, **ALL}, headers=HTMX).content.decode()
    assert status(page) == "1,200 repositories, 31,000 tags match." and "And 31,000 more." in told(page)
