"""Instances: the first one, list, register, edit, test the connection, delete."""

import pytest
from django.urls import reverse

from sync.models import Instance, SyncRule
from sync.services import configure
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.support import htpasswd, self_signed

SECRET = "correct horse battery"
CERTIFICATE, _ = self_signed("127.0.0.1")


@pytest.fixture
def values() -> dict[str, str]:
    return {
        "kind": "registry",
        "name": "gz",
        "region": "ap-guangzhou",
        "url": "127.0.0.1:1",
        "connect_timeout": "5",
        "read_timeout": "5",
        "max_connections": "4",
    }


def test_without_an_instance_the_page_explains_how_to_register_one(console):
    page = console.get("/").content.decode()
    assert texts(page, "h1") == ["Register your first instance"]
    assert reverse("instance-new") in [attributes(link)["href"] for link in elements(page, "a")]
    assert console.get("/instances/").headers["Location"] == "/"


def test_list_shows_region_kind_address_health_and_rules(console, rule):
    Instance.objects.filter(pk=rule.source.pk).update(healthy=False, health_reason="The connection was refused.")
    page = console.get("/instances/").content.decode()
    assert texts(page, "th")[:6] == ["Name", "Region", "Kind", "Address", "Health", "Rules"]
    row = next(words(row) for row in elements(page, "tr") if "prod-gz" in words(row))
    for shown in ("ap-guangzhou", "OCI registry", "http://127.0.0.1:1", "Problem", "1 from here", "0 to here"):
        assert shown in row
    links = [words(link) for link in elements(page, "a") if "from here" in words(link)]
    assert links == ["1 from here"], "nothing leads to an empty list"


def test_register(console, values):
    answer = console.post("/instances/new/", {**values, "username": "robot", "password": SECRET}, follow=True)
    instance = Instance.objects.get()
    assert (instance.name, instance.url, instance.password) == ("gz", "http://127.0.0.1:1", SECRET)
    assert SECRET not in instance.encrypted_password
    assert "Instance gz (ap-guangzhou) is saved." in texts(answer.content.decode(), "p")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "Enter a name."),
        ("name", "Prod", "Use lower-case letters"),
        ("region", "", "Enter the region"),
        ("url", "", "Enter the address."),
        ("url", "ftp://registry.example", "ftp"),
        ("url", "http://registry.example", "Plain HTTP is off"),
        ("ca_certificate", "nonsense", "Not a certificate"),
        ("proxy", "http://user:pw@proxy:3128", "without credentials"),
    ],
)
def test_refused_values_are_explained_beside_the_field(console, values, field, value, said):
    answer = console.post("/instances/new/", {**values, field: value})
    page = answer.content.decode()
    assert answer.status_code == 422 and not Instance.objects.exists()
    assert said in words(by_id(page, f"id_{field}_error"))
    control = attributes(by_id(page, f"id_{field}"))
    assert f"id_{field}_error" in control["aria-describedby"] and control["aria-invalid"] == "true"


@pytest.mark.parametrize(("typed", "kept", "shown"), [("2.5", 2_500_000, "2.5"), ("0", 0, None), ("", 0, None)])
def test_a_limit_is_entered_in_megabytes_and_kept_in_bytes(console, values, typed, kept, shown):
    assert console.post("/instances/new/", {**values, "max_bytes_per_second": typed}).status_code == 302
    assert Instance.objects.get().max_bytes_per_second == kept
    page = console.get("/instances/gz/edit/").content.decode()
    assert attributes(by_id(page, "id_max_bytes_per_second")).get("value") == shown


@pytest.mark.parametrize("typed", ["0.05", "-1", "1000001", "many", "NaN", "0.1234567"])
def test_a_limit_that_cannot_be_kept_is_told_in_megabytes(console, values, typed):
    page = console.post("/instances/new/", {**values, "max_bytes_per_second": typed}).content.decode()
    assert not Instance.objects.exists()
    assert "from 0.1 to 1000000" in words(by_id(page, "id_max_bytes_per_second_error"))
    assert attributes(by_id(page, "id_max_bytes_per_second"))["value"] == typed


@pytest.mark.parametrize("value", ["", "-1", "0", "301", "9" * 30, "many"])
def test_a_number_out_of_range_is_answered_by_the_range_alone(console, values, value):
    answer = console.post("/instances/new/", {**values, "connect_timeout": value})
    assert answer.context["form"].errors == {"connect_timeout": ["Enter a whole number from 1 to 300."]}


def test_the_name_is_unique(console, source, values):
    answer = console.post("/instances/new/", {**values, "name": source.name})
    assert words(by_id(answer.content.decode(), "id_name_error")) == "There is an instance of this name already."


@pytest.mark.django_db(transaction=True)
def test_of_two_who_save_one_name_at_once_the_second_is_told(console, values, monkeypatch):
    save = configure.save_instance

    def save_second(instance, *secrets):
        Instance.objects.create(name=instance.name, region="Frankfurt", url="http://127.0.0.1:1")
        save(instance, *secrets)

    monkeypatch.setattr(configure, "save_instance", save_second)
    answer = console.post("/instances/new/", values)
    assert answer.status_code == 422
    assert words(by_id(answer.content.decode(), "id_name_error")) == "There is an instance of this name already."


def test_a_stored_password_is_never_rendered_and_stays_when_left_blank(console, values):
    console.post("/instances/new/", {**values, "username": "robot", "password": SECRET})
    page = console.get("/instances/gz/edit/").content.decode()
    stored = Instance.objects.get().encrypted_password
    assert SECRET not in page and stored not in page
    assert attributes(by_id(page, "id_password")).get("value", "") == ""
    console.post("/instances/gz/edit/", {**values, "username": "robot", "region": "elsewhere", "password": ""})
    assert (Instance.objects.get().region, Instance.objects.get().password) == ("elsewhere", SECRET)


def test_a_refused_form_does_not_send_the_typed_password_back(console, values):
    answer = console.post("/instances/new/", {**values, "name": "", "username": "robot", "password": SECRET})
    assert answer.status_code == 422 and SECRET not in answer.content.decode()


def test_a_stored_password_can_be_removed(console, values):
    console.post("/instances/new/", {**values, "username": "robot", "password": SECRET})
    console.post("/instances/gz/edit/", {**values, "username": "", "remove_password": "on"})
    assert Instance.objects.get().password == ""


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"url": "https://attacker.example"}, "Address"),
        ({"proxy": "http://attacker.example:3128"}, "Proxy"),
        ({"ca_certificate": CERTIFICATE}, "CA certificate"),
        ({"allow_plain_http": "on"}, "Allow plain HTTP"),
    ],
)
def test_a_stored_password_does_not_follow_where_others_can_read_it(console, values, changed, named):
    console.post("/instances/new/", {**values, "username": "robot", "password": SECRET})
    before = Instance.objects.values().get()
    edited = {**values, "username": "robot", "editing": "gz", **changed}
    for url in ("/instances/gz/edit/", "/instances/test/"):
        answer = console.post(url, edited)
        assert answer.status_code == 422
        assert f"Changed: {named}." in words(by_id(answer.content.decode(), "id_password_error"))
    assert Instance.objects.values().get() == before
    console.post("/instances/gz/edit/", {**edited, "password": "typed again"})
    assert Instance.objects.get().password == "typed again"


def test_the_same_certificate_with_other_line_ends_asks_for_no_password(console, values):
    console.post("/instances/new/", {**values, "username": "robot", "password": SECRET})
    Instance.objects.update(ca_certificate=CERTIFICATE)
    sent = CERTIFICATE.replace("\n", "\r\n")
    answer = console.post("/instances/gz/edit/", {**values, "username": "robot", "ca_certificate": sent})
    assert answer.status_code == 302 and Instance.objects.get().password == SECRET


def test_a_password_without_a_user_name_is_refused(console, values):
    answer = console.post("/instances/new/", {**values, "password": SECRET})
    assert answer.status_code == 422 and not Instance.objects.exists()
    assert "only with a user name" in words(by_id(answer.content.decode(), "id_username_error"))
    console.post("/instances/new/", {**values, "username": "robot", "password": SECRET})
    assert console.post("/instances/gz/edit/", {**values, "username": ""}).status_code == 422
    assert Instance.objects.get().username == "robot"


def test_connection_test_tells_what_was_tried_and_saves_nothing(console, values, start_registry):
    answer = console.post("/instances/test/", {**values, "url": start_registry().url}, headers={"HX-Request": "true"})
    found = texts(answer.content.decode(), "li")
    assert [line.partition(" ")[0] for line in found] == ["Yes", "Note", "Yes", "Yes"]
    assert "Note Credential accepted The registry asks for no credential." in found
    assert not Instance.objects.exists()


def test_connection_test_of_a_registry_that_is_down_says_so_in_the_form(console, values):
    page = console.post("/instances/test/", values).content.decode()
    assert texts(page, "h1") == ["Register an instance"]
    found = words(by_id(page, "findings"))
    assert "No" in found and "refused" in found
    assert attributes(by_id(page, "id_name"))["value"] == "gz"


def test_connection_test_uses_the_stored_password_and_keeps_the_health(console, values, start_registry):
    registry = start_registry(htpasswd=htpasswd("robot", SECRET))
    stored = {**values, "url": registry.url, "username": "robot"}
    console.post("/instances/new/", {**stored, "password": SECRET})
    page = console.post("/instances/test/", {**stored, "editing": "gz", "password": ""}).content.decode()
    assert "No" not in [text.split()[0] for text in texts(page, "li") if text]
    assert Instance.objects.get().healthy is True


@pytest.mark.parametrize("typed", [{}, {"password": SECRET}, {"region": "Lyon", "max_connections": "5"}])
def test_a_test_of_what_is_saved_becomes_its_health(console, values, typed):
    """The way to it is compared: who types the same password again, or another region, tests the same."""
    stored = {**values, "username": "robot"}
    console.post("/instances/new/", {**stored, "password": SECRET})
    console.post("/instances/test/", {**stored, "editing": "gz", **typed})
    instance = Instance.objects.get()
    assert (instance.healthy, "refused" in instance.health_reason) == (False, True)
    assert instance.checked_at and instance.latency_ms is not None
    for other in ({"url": "127.0.0.1:2", "password": SECRET}, {"password": "another"}):
        Instance.objects.update(healthy=None)
        console.post("/instances/test/", {**stored, "editing": "gz", **other})
        assert Instance.objects.get().healthy is None


def test_a_test_before_saving_becomes_the_health_of_what_is_saved_just_so(console, values):
    page = console.post("/instances/test/", values, headers={"HX-Request": "true"}).content.decode()
    (tested,) = [attributes(field)["value"] for field in elements(page, "input")]
    console.post("/instances/new/", {**values, "tested": tested})
    assert Instance.objects.get().healthy is False
    console.post("/instances/gz/edit/", {**values, "tested": tested, "url": "127.0.0.1:2"})
    assert Instance.objects.get().healthy is None
    console.post("/instances/gz/edit/", {**values, "tested": f"{tested}x"})
    assert Instance.objects.get().healthy is None


def test_connection_test_refuses_a_wrong_password_plainly(console, values, start_registry):
    registry = start_registry(htpasswd=htpasswd("robot", SECRET))
    typed = {**values, "url": registry.url, "username": "robot", "password": "wrong-password"}
    found = words(by_id(console.post("/instances/test/", typed).content.decode(), "findings"))
    assert "No Credential accepted" in found and "wrong-password" not in found


def test_a_refused_form_replaces_the_form_when_tested_in_place(console, values):
    answer = console.post("/instances/test/", {**values, "name": ""}, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (422, "#instance-form")
    assert not texts(answer.content.decode(), "h1")
    headline = texts(answer.content.decode(), "strong")[0]
    assert headline == "The connection was not tested. Correct the marked fields first:"
    answer = console.post("/instances/new/", {**values, "name": ""})
    assert "Not saved. Correct the marked fields:" in texts(answer.content.decode(), "strong")


def is_open(page: str) -> bool:
    (folded,) = [attributes(one) for one in elements(page, "details") if attributes(one).get("class") == "more"]
    return "open" in folded


@pytest.mark.parametrize(
    ("typed", "opened"),
    [({"name": ""}, False), ({"url": "ftp://x"}, False), ({"url": "http://x.example"}, True), ({"proxy": "x"}, True)],
)
def test_a_folded_part_of_the_form_opens_when_something_is_to_be_mended_there(console, values, typed, opened):
    usual = {"read_timeout": "60", "connect_timeout": "10", "max_connections": "64"}
    assert is_open(console.post("/instances/new/", {**values, **usual, **typed}).content.decode()) is opened


def test_it_opens_for_another_way_that_the_stored_password_would_take(console, values):
    usual = {"read_timeout": "60", "connect_timeout": "10", "max_connections": "64", "username": "robot"}
    way = {"url": "http://x.example", "allow_plain_http": "on"}
    console.post("/instances/new/", {**values, **usual, **way, "password": SECRET})
    page = console.post("/instances/gz/edit/", {**values, **usual, "url": "https://x.example"}).content.decode()
    assert "Allow plain HTTP" in words(by_id(page, "id_password_error")) and is_open(page)


def test_the_address_of_another_instance_is_saved_with_a_warning_that_names_it(console, values, source):
    elsewhere = {**values, "name": "y", "url": "127.0.0.1:2"}
    answers = [console.post("/instances/new/", typed, follow=True) for typed in (values, elsewhere)]
    warned = ["has the same address as prod-gz (ap-guangzhou)." in answer.content.decode() for answer in answers]
    assert warned == [True, False] and Instance.objects.count() == 3


def test_deleting_asks_first(console, source):
    page = console.get("/instances/prod-gz/delete/").content.decode()
    assert "Delete instance prod-gz (ap-guangzhou)?" in texts(page, "h1")
    assert Instance.objects.exists()
    console.post("/instances/prod-gz/delete/")
    assert not Instance.objects.exists()


@pytest.mark.parametrize("side", ["prod-gz", "prod-eu"])
def test_deleting_an_instance_that_rules_use_is_refused_with_their_names(console, rule, side):
    address = f"/instances/{side}/delete/"
    asked, done = console.get(address), console.post(address)
    assert (asked.status_code, done.status_code) == (200, 422)
    for answer in (asked, done):
        page = answer.content.decode()
        links = {words(link): attributes(link)["href"] for link in elements(page, "a")}
        assert links["prod-gz/web"] == reverse("rule", args=["prod-gz", "web"])
        assert "cannot be deleted" in texts(page, "h1")[0]
        assert "Delete instance" not in texts(page, "button")
    assert Instance.objects.count() == 2 and SyncRule.objects.exists()


def test_so_is_it_in_the_dialog_and_of_many_rules_the_first_are_named(console, rule):
    for number in range(25):
        SyncRule.objects.create(name=f"many-{number:02}", source=rule.source, source_namespace="a", target=rule.target)
    dialog = console.get("/instances/prod-eu/delete/", headers={"HX-Request": "true"}).content.decode()
    assert texts(dialog, "h2") == ["prod-eu (Frankfurt) cannot be deleted"]
    assert texts(dialog, "li")[-2:] == ["prod-gz/many-19", "and more"]


TCR = {"kind": "tcr", "api_key_id": "AKID", "api_key": SECRET, "api_region": "ap-guangzhou", "registry_id": "tcr-1"}


def test_the_key_of_a_management_api_is_stored_like_a_password(console, values):
    assert console.post("/instances/new/", values | TCR).status_code == 302
    instance = Instance.objects.get()
    assert (instance.api_key, instance.api_key_id, instance.registry_id) == (SECRET, "AKID", "tcr-1")
    page = console.get("/instances/gz/edit/").content.decode()
    assert SECRET not in page and instance.encrypted_api_key not in page
    console.post("/instances/gz/edit/", values | TCR | {"api_key": "", "region": "elsewhere"})
    assert (Instance.objects.get().region, Instance.objects.get().api_key) == ("elsewhere", SECRET)


@pytest.mark.parametrize("missing", ["api_key_id", "api_key", "api_region", "registry_id"])
def test_a_management_api_needs_all_of_its_values(console, values, missing):
    answer = console.post("/instances/new/", values | TCR | {missing: ""})
    assert answer.status_code == 422 and list(answer.context["form"].errors) == [missing]


@pytest.mark.parametrize(("field", "value"), [("api_key_id", "OTHER"), ("api_address", "api.example")])
def test_a_stored_key_goes_to_nobody_else(console, values, field, value):
    console.post("/instances/new/", values | TCR)
    answer = console.post("/instances/gz/edit/", values | TCR | {"api_key": "", field: value})
    assert "enter it again" in words(by_id(answer.content.decode(), "id_api_key_error"))
    assert getattr(Instance.objects.get(), field) != value


def test_another_kind_leaves_nothing_of_the_management_api(console, values):
    console.post("/instances/new/", values | TCR)
    console.post("/instances/gz/edit/", values | TCR | {"kind": "registry"})
    instance = Instance.objects.get()
    assert (instance.api_key_id, instance.registry_id, instance.encrypted_api_key) == ("", "", "")


def test_a_management_api_is_spoken_to_by_https_only(console, values):
    answer = console.post("/instances/new/", values | TCR | {"api_address": "http://api.example"})
    assert "https:// only" in words(by_id(answer.content.decode(), "id_api_address_error"))


def test_only_a_chart_repository_has_a_path_in_its_address(console, values):
    address = {"url": "https://charts.example/stable/"}
    answer = console.post("/instances/new/", values | address)
    assert "chart repository" in words(by_id(answer.content.decode(), "id_url_error"))
    assert console.post("/instances/new/", values | address | {"kind": "charts"}).status_code == 302
    assert Instance.objects.get().url == "https://charts.example/stable"


def test_each_kind_says_what_to_know_of_it(console):
    page = console.get("/instances/new/").content.decode()
    told = {attributes(one)["data-kind"]: words(one) for one in elements(page, "div") if "data-kind" in attributes(one)}
    assert {kind.value for kind in Instance.Kind} - {"registry"} == set(told)
    assert "ratelimit" not in told["dockerhub"] and "access token" in told["dockerhub"]


@pytest.mark.parametrize(
    ("kind", "url"), [("dockerhub", "https://registry-1.docker.io"), ("github", "https://ghcr.io")]
)
def test_a_kind_with_one_address_needs_none(console, values, kind, url):
    console.post("/instances/new/", values | {"kind": kind, "url": " "})
    assert Instance.objects.get().url == url


def test_each_kind_tells_its_own_example_of_an_address(console):
    page = console.get("/instances/new/").content.decode()
    spans = (one for one in elements(page, "span") if "data-kind" in attributes(one))
    told = {attributes(one)["data-kind"]: words(one) for one in spans}
    assert told.keys() == {kind.value for kind in Instance.Kind}
    assert told["dockerhub"] == "Blank: https://registry-1.docker.io, as for everybody."
    assert told["tcr"] == "For example https://name.tencentcloudcr.com"
    assert "registry.example" not in "".join(told[kind] for kind in told.keys() - {"registry", "harbor"})


def test_what_to_know_of_a_kind_is_a_list(console):
    page = console.get("/instances/new/").content.decode()
    advice = next(one for one in elements(page, "div") if attributes(one).get("data-kind") == "tcr")
    points = texts(str(advice), "li")
    assert len(points) == 3 and points[1].startswith("To make namespaces") and points[2].startswith("In CAM it needs")


def test_what_was_tested_stays_known_when_something_else_is_to_be_corrected(console, values, start_registry):
    values = values | {"url": start_registry().url}
    page = console.post("/instances/test/", values, headers={"HX-Request": "true"}).content.decode()
    tested = next(attributes(one)["value"] for one in elements(page, "input") if attributes(one)["name"] == "tested")
    page = console.post("/instances/new/", values | {"tested": tested, "region": ""}).content.decode()
    kept = [attributes(one)["value"] for one in elements(page, "input") if attributes(one).get("name") == "tested"]
    assert kept == [tested]
    console.post("/instances/new/", values | {"tested": tested})
    assert Instance.objects.get().healthy is True
    assert "Reachable" in console.get("/instances/").content.decode()
