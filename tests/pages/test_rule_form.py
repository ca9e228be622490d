"""Creating and configuring a rule."""

import pytest
from django.contrib.auth.models import User

from sync.models import Instance, SyncRule, SyncTask
from sync.oci.client import Client as RegistryClient
from sync.oci.client import Endpoint
from sync.services import configure, grants
from sync.services.grants import Right
from tests.fakes.registry import Answer, FakeRegistry
from tests.oci.artifacts import push_image
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX

NEW = "/i/prod-gz/new-rule/"


@pytest.fixture
def values(target: Instance) -> dict[str, str]:
    return {
        "name": "web",
        "description": "网站镜像, released versions",
        "source_namespace": "prod",
        "images": "on",
        "charts": "on",
        "repositories": "web/.*",
        "tags": "v.*",
        "target": str(target.pk),
        "target_namespace": "",
        "parallelism": "4",
    }


@pytest.fixture
def listed_source(source: Instance, start_registry) -> Instance:
    """The source is a real registry with two namespaces and a repository at the top level."""
    registry = start_registry()
    client = RegistryClient(Endpoint(registry.url))
    for repository in ("prod/web", "charts/web", "alone"):
        push_image(client, repository, "1.0")
    client.close()
    source.url = registry.url
    source.save()
    return source


def test_create(console, source, values):
    page = console.get(NEW).content.decode()
    assert texts(page, "h1") == ["Create Instance Synchronization Rule"]
    assert texts(page, "legend") == ["What", "Type", "Where", "How"]
    answer = console.post(NEW, values)
    assert answer.headers["Location"] == "/i/prod-gz/rules/"
    rule = SyncRule.objects.get()
    assert (rule.source, rule.name, rule.description) == (source, "web", values["description"])
    assert (rule.images, rule.charts, rule.others, rule.overwrite, rule.enabled) == (True, True, False, False, True)
    assert "web" in console.get("/i/prod-gz/rules/").content.decode()
    assert not SyncTask.objects.exists()


def test_defaults_and_recommendation(console, source):
    page = console.get(NEW).content.decode()
    ticked = {
        name: "checked" in attributes(by_id(page, f"id_{name}"))
        for name in ("images", "charts", "others", "overwrite", "sync_now")
    }
    assert ticked == {"images": True, "charts": True, "others": False, "overwrite": False, "sync_now": False}
    assert "Recommended: off" in words(by_id(page, "id_overwrite_helptext"))
    assert "same name as the source namespace" in words(by_id(page, "id_target_namespace_helptext"))
    assert "RE2" in page and len(texts(page, "dt")) == 4


@pytest.mark.parametrize("name", ["a", "9x", "a.b_c-d", "a-", "a" * 64])
def test_names_that_are_accepted(console, source, values, name):
    console.post(NEW, {**values, "name": name})
    assert SyncRule.objects.get().name == name


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "_a", "a b", "a/b", "é", "名", "a" * 65])
def test_names_that_are_refused_with_a_message_beside_the_field(console, source, values, name):
    answer = console.post(NEW, {**values, "name": name})
    page = answer.content.decode()
    assert answer.status_code == 422 and not SyncRule.objects.exists()
    assert words(by_id(page, "id_name_error"))


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("source_namespace", "", "source_namespace"),
        ("source_namespace", "*", "source_namespace"),
        ("source_namespace", "prod/*", "source_namespace"),
        ("source_namespace", "a,b", "source_namespace"),
        ("repositories", "web/(", "repositories"),
        ("exclude_tags", "[", "exclude_tags"),
        ("tags", r"(?=a)", "tags"),
        ("target", "", "target"),
        ("target", "999999", "target"),
        ("target_namespace", "Prod", "target_namespace"),
    ],
)
def test_what_is_refused(console, source, values, field, value, at):
    answer = console.post(NEW, {**values, field: value})
    page = answer.content.decode()
    assert answer.status_code == 422 and not SyncRule.objects.exists()
    assert words(by_id(page, f"id_{at}_error"))
    assert f"#id_{at}" in [attributes(link)["href"] for link in elements(page, "a")], "the summary leads to the field"
    assert attributes(by_id(page, "id_name"))["value"] == "web", "what was typed is kept"


def test_no_type_chosen_is_refused(console, source, values):
    del values["images"], values["charts"]
    answer = console.post(NEW, values)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words(by_id(page, "id_images_error")) == "Choose at least one type of resource."
    assert "Type : Choose at least one type of resource." in texts(page, "li"), "the summary names what the page names"


@pytest.mark.parametrize("kept", ["images", "charts"])
def test_only_one_type(console, source, values, kept):
    del values["charts" if kept == "images" else "images"]
    console.post(NEW, values)
    assert (SyncRule.objects.get().images, SyncRule.objects.get().charts) == (kept == "images", kept == "charts")


def test_the_name_is_unique_within_its_source(console, rule, values):
    answer = console.post(NEW, values)
    assert "has a rule of this name already" in words(by_id(answer.content.decode(), "id_name_error"))
    console.post("/i/prod-eu/new-rule/", {**values, "target": str(rule.source.pk)})
    assert SyncRule.objects.filter(name="web").count() == 2


def test_of_two_who_save_one_name_at_once_the_second_is_told(console, source, values, monkeypatch):
    save = configure.save_rule

    def save_second(rule, **options):
        SyncRule.objects.create(name=rule.name, source=source, source_namespace="first", target=source)
        return save(rule, **options)

    monkeypatch.setattr(configure, "save_rule", save_second)
    answer = console.post(NEW, values)
    assert answer.status_code == 422
    assert "has a rule of this name already" in words(by_id(answer.content.decode(), "id_name_error"))
    assert SyncRule.objects.get().source_namespace == "first"


def test_the_source_is_shown_and_cannot_be_changed(console, source, target, values):
    page = console.get(NEW).content.decode()
    assert "prod-gz (ap-guangzhou)" in texts(page, "p")
    console.post(NEW, {**values, "source": str(target.pk)})
    assert SyncRule.objects.get().source == source


def test_targets_are_all_instances_with_their_regions(console, source, target):
    options = texts(console.get(NEW).content.decode(), "option")
    assert "prod-eu (Frankfurt)" in options
    assert any(option.startswith("prod-gz (ap-guangzhou)") for option in options)


def test_the_source_itself_may_be_the_target_with_another_namespace_only(console, source, values):
    onto_itself = {**values, "target": str(source.pk)}
    answer = console.post(NEW, onto_itself)
    assert "Source and target are the same" in words(by_id(answer.content.decode(), "id_target_namespace_error"))
    console.post(NEW, {**onto_itself, "target_namespace": "mirror"})
    assert SyncRule.objects.get().target == source


def test_namespaces_are_chosen_from_the_list_of_the_source(console, listed_source, values):
    page = console.get(NEW).content.decode()
    (later,) = [attributes(part) for part in elements(page, "p") if attributes(part).get("hx-trigger") == "load"]
    assert (by_id(page, "id_source_namespace").name, later["hx-target"]) == ("input", "#namespace")
    typed = {"source_namespace": "prod", "editing": ""}
    select = by_id(console.get(later["hx-get"], typed, headers=HTMX).content.decode(), "id_source_namespace")
    assert [words(option) for option in select.children if "selected" in attributes(option)] == ["prod"]
    assert [words(option) for option in select.children] == ["Choose a namespace", "top level", "charts", "prod"]
    for refused in ("", "*", "elsewhere"):
        answer = console.post(NEW, {**values, "source_namespace": refused})
        assert answer.status_code == 422 and words(by_id(answer.content.decode(), "id_source_namespace_error"))
    console.post(NEW, {**values, "source_namespace": "/"})
    assert SyncRule.objects.get().source_namespace == "/"


def test_no_form_waits_for_a_registry(console, source, target, values):
    """One that hangs would be waited for by whoever opens the form or saves it."""
    with FakeRegistry() as registry:
        registry.script("GET", "/v2/", Answer(wait=True))
        Instance.objects.filter(pk=source.pk).update(url=registry.url)
        page = console.get(NEW).content.decode()
        assert "Asking for its namespaces…" in page
        assert console.post(NEW, {**values, "name": ""}).status_code == 422
        assert console.post(NEW, values).status_code == 302
        assert console.get("/i/prod-gz/rules/web/edit/").status_code == 200
        assert not registry.requests
    assert SyncRule.objects.get().source_namespace == "prod"


def test_a_list_that_comes_later_does_not_take_away_what_is_wrong(console, source, values):
    page = console.post(NEW, {**values, "source_namespace": "*"}).content.decode()
    assert words(by_id(page, "id_source_namespace_error")) and "Asking for its namespaces" not in page


def test_the_present_namespace_of_a_rule_stays_possible(console, listed_source, target, values):
    SyncRule.objects.create(name="web", source=listed_source, source_namespace="gone", target=target)
    answer = console.post("/i/prod-gz/rules/web/edit/", {**values, "source_namespace": "gone"})
    assert answer.status_code == 302


def test_a_source_that_lists_nothing_says_so_and_lets_one_type(console, source, values):
    listing = console.get("/i/prod-gz/new-rule/namespaces/")
    assert listing.headers["Location"] == f"{NEW}?list=on", "what who has no script is offered"
    page = console.get(listing.headers["Location"]).content.decode()
    assert by_id(page, "id_source_namespace").name == "input"
    assert "refused" in words(by_id(page, "id_source_namespace_helptext"))
    console.post(NEW, values)
    assert SyncRule.objects.get().source_namespace == "prod"


def test_also_copy_what_is_there_now(console, source, values):
    console.post(NEW, {**values, "sync_now": "on"})
    task = SyncTask.objects.get()
    assert task.rule == SyncRule.objects.get()
    links = {
        words(link): attributes(link)["href"] for link in elements(console.get("/instances/").content.decode(), "a")
    }
    assert links[f"Task {task.pk}"] == f"/i/prod-gz/tasks/{task.pk}/", "the message leads to the task"
    page = console.get("/i/prod-gz/rules/web/edit/").content.decode()
    assert "id_sync_now" not in page, "only on create"


def test_configuration_changes_every_parameter(console, rule, values, target):
    other = Instance.objects.create(name="us", region="Virginia", url="http://127.0.0.1:2")
    changed = {
        "name": "site",
        "description": "new words",
        "source_namespace": "stage/web",
        "others": "on",
        "repositories": "a",
        "exclude_repositories": "b",
        "tags": "c",
        "exclude_tags": "d",
        "target": str(other.pk),
        "target_namespace": "mirror",
        "overwrite": "on",
        "parallelism": 2,
        "delete_removed": "on",
        "removal_share": 7,
    }
    assert console.post("/i/prod-gz/rules/web/edit/", changed).status_code == 302
    now = SyncRule.objects.get()
    assert now.pk == rule.pk and now.target == other and now.description == "new words"
    expected = {
        name: value == "on" or value for name, value in changed.items() if name not in ("target", "description")
    }
    assert now.snapshot() == {**expected, "images": False, "charts": False, "with_referrers": False}


@pytest.mark.parametrize("number", ["", "0", "65", "many"])
def test_workers_at_once_is_a_number_in_its_range(console, source, values, number):
    said = "Enter a whole number from 1 to 64."
    answer = console.post(NEW, {**values, "parallelism": number})
    assert answer.status_code == 422 and words(by_id(answer.content.decode(), "id_parallelism_error")) == said
    assert not SyncRule.objects.exists()


def test_workers_at_once_is_4_unless_changed_and_told(console, source, values):
    page = console.get(NEW).content.decode()
    field = attributes(by_id(page, "id_parallelism"))
    assert (field["value"], field["min"], field["max"]) == ("4", "1", "64")
    assert "Workers at once" in texts(page, "label")
    assert "Workers that may work on one task" in words(by_id(page, "id_parallelism_helptext"))


def test_configuration_shows_what_the_rule_has_and_validates_the_same(console, rule):
    page = console.get("/i/prod-gz/rules/web/edit/").content.decode()
    assert attributes(by_id(page, "id_source_namespace"))["value"] == "prod"
    answer = console.post("/i/prod-gz/rules/web/edit/", {"name": "A", "source_namespace": "*"})
    page = answer.content.decode()
    assert answer.status_code == 422
    for field in ("name", "source_namespace", "images", "target"):
        assert words(by_id(page, f"id_{field}_error"))
    assert texts(page, "h1") == ["Configuration of web"]
    assert SyncRule.objects.get().name == "web"


def test_a_running_task_keeps_the_rule_it_started_with(console, rule, values):
    console.post("/i/prod-gz/rules/web/sync/")
    console.post("/i/prod-gz/rules/web/edit/", {**values, "target_namespace": "elsewhere"})
    task = SyncTask.objects.get()
    assert SyncRule.objects.get().target_namespace == "elsewhere" and task.snapshot["target_namespace"] == ""
    page = console.get(f"/i/prod-gz/tasks/{task.pk}/").content.decode()
    assert "The rule as it was when the task was created" in texts(page, "summary") and "elsewhere" not in page


def test_in_place_a_refused_form_comes_without_the_page_and_a_good_one_leads_on(console, source, values):
    refused = console.post(NEW, {**values, "name": ""}, headers={"HX-Request": "true"})
    assert refused.status_code == 422 and not texts(refused.content.decode(), "h1")
    alert = next(
        element for element in elements(refused.content.decode()) if attributes(element).get("role") == "alert"
    )
    assert "Enter a name." in words(alert)
    accepted = console.post(NEW, values, headers={"HX-Request": "true"})
    assert accepted.headers["HX-Redirect"] == "/i/prod-gz/rules/"
    assert "HX-Request" in accepted.headers["Vary"]


def test_closing_without_ok_creates_nothing(console, source):
    page = console.get(NEW).content.decode()
    cancel = next(link for link in elements(page, "a") if words(link) == "Cancel")
    console.get(attributes(cancel)["href"])
    assert not SyncRule.objects.exists()


def test_the_next_five_times_of_a_schedule_are_shown(console, source):
    shown = console.get(
        "/schedule-times/", {"schedule": "0 3 * * *", "schedule_zone": "Asia/Shanghai"}
    ).content.decode()
    times = [words(item) for item in elements(shown, "li")]
    assert len(times) == 5
    assert all("03:00 (UTC+0800)" in time for time in times)
    assert "At 03:00 every day, Asia/Shanghai" in shown


def test_what_is_no_schedule_is_told_while_it_is_typed_and_when_it_is_saved(console, source, target):
    typed = {"schedule": "0 25 * * *", "schedule_zone": "UTC"}
    assert "the hour, takes 0 to 23" in console.get("/schedule-times/", typed).content.decode()
    form = {"name": "web", "source_namespace": "prod", "images": "on", "target": target.pk, "parallelism": 4}
    refused = console.post("/i/prod-gz/new-rule/", form | typed)
    assert refused.status_code == 422
    assert "the hour, takes 0 to 23" in words(by_id(refused.content.decode(), "id_schedule_error"))
    saved = console.post("/i/prod-gz/new-rule/", form | {"schedule": "0 3 * * *", "schedule_zone": ""})
    assert saved.status_code == 302
    rule = SyncRule.objects.get()
    assert rule.schedule_zone == "UTC"
    assert rule.next_run_at is not None
    page = console.get("/i/prod-gz/rules/web/").content.decode()
    assert "0 3 * * *" in page


def test_a_source_that_is_polled_says_so_where_one_decides_what_to_copy(console, source):
    Instance.objects.filter(pk=source.pk).update(poll_minutes=5)
    assert "is looked at every 5 minutes" in words(by_id(console.get(NEW).content.decode(), "rule-form"))


@pytest.fixture
def writer(client, rule) -> User:
    """Rule admin of the source, with no role on any target."""
    user = User.objects.create_user("writer")
    grants.grant(Right.MANAGE_RULES, user, rule.source)
    client.force_login(user)
    return user


def test_who_may_copy_nowhere_is_told_whom_to_ask(client, writer):
    page = client.get("/i/prod-gz/new-rule/").content.decode()
    assert "ask the admin of one to give you the role Receive" in words(by_id(page, "id_target_helptext"))


def test_the_target_of_a_rule_stays_in_view_and_saving_says_what_is_lacking(client, writer, rule):
    page = client.get("/i/prod-gz/rules/web/edit/").content.decode()
    assert "prod-eu (Frankfurt)" in texts(page, "option")
    values = {"name": "web", "source_namespace": "prod", "images": "on", "target": rule.target.pk, "parallelism": 4}
    answer = client.post("/i/prod-gz/rules/web/edit/", values)
    assert answer.status_code == 422
    assert "You lack the right Receive on prod-eu" in words(by_id(answer.content.decode(), "id_target_error"))
    grants.grant(Right.RECEIVE, writer, rule.target)
    assert client.post("/i/prod-gz/rules/web/edit/", values).status_code == 302
    rule.refresh_from_db()
    assert (rule.owner, rule.by_platform) == (writer, False)


def test_overwriting_needs_a_right_of_its_own(client, writer, rule):
    grants.grant(Right.RECEIVE, writer, rule.target)
    values = {"name": "new", "source_namespace": "prod", "images": "on", "target": rule.target.pk, "parallelism": 4}
    answer = client.post("/i/prod-gz/new-rule/", values | {"overwrite": "on"})
    assert "Receive, overwriting on prod-eu" in words(by_id(answer.content.decode(), "id_overwrite_error"))


def test_a_pool_is_chosen_by_platform_administrators(client, writer, rule, values):
    grants.grant(Right.RECEIVE, writer, rule.target)
    page = client.post("/i/prod-gz/rules/web/edit/", {**values, "pool": "inner"}).content.decode()
    assert "Only platform administrators choose workers" in words(by_id(page, "id_pool_error"))
    rule.refresh_from_db()
    assert rule.pool == ""
    client.force_login(User.objects.create_superuser("other"))
    assert client.post("/i/prod-gz/rules/web/edit/", {**values, "pool": "inner"}).status_code == 302
