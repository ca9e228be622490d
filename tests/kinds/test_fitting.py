"""A rule whose sides cannot hold what it chooses: told where it is written, and where it stands from before."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from sync.models import Instance, SyncRule
from sync.registries import KINDS
from sync.services import fitting
from sync.services.rulefile import RuleFileError, load_rules
from tests.fakes.chartmuseum import FakeChartMuseum
from tests.kinds.charts import package
from tests.pages.html import by_id, words
from tests.services.support import make_instance, make_rule

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
NOBODY_LISTENS = "http://127.0.0.1:1"
FILE = """
instances:
  - {{name: oci, region: here, url: "http://127.0.0.1:1"}}
  - {{name: museum, region: there, kind: charts, url: "http://127.0.0.1:1"}}
rules:
  - name: everything
    source: {{instance: {source}, namespace: prod}}
    resources: [{resources}]
    target: {{instance: {target}, namespace: other}}
"""


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture
def console():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def oci():
    return make_instance("oci", NOBODY_LISTENS)


@pytest.fixture
def museum():
    return make_instance("museum", NOBODY_LISTENS, kind="charts")


def sent(target, *types, **more):
    said = {"name": "everything", "source_namespace": "prod", "target": str(target.pk), "parallelism": "4"}
    return said | dict.fromkeys(types, "on") | {"target_namespace": "other"} | more


def save(console, source, target, *types, **more):
    return console.post(reverse("rule-new", args=[source.name]), sent(target, *types, **more))


def fault_at(answer, field):
    assert answer.status_code == 422 and not SyncRule.objects.exists()
    return words(by_id(answer.content.decode(), f"id_{field}_error"))


def test_a_kind_says_what_it_can_hold():
    assert {kind for kind, registry in KINDS.items() if registry.types != ("image", "chart", "other")} == {"charts"}
    assert KINDS["charts"].types == ("chart",)


@pytest.mark.parametrize("types", [("images",), ("images", "charts"), ("charts", "others")])
def test_a_target_that_takes_charts_only_refuses_the_rest_at_the_field(console, oci, museum, types):
    said = fault_at(save(console, oci, museum, *types), "images")
    what = "container images" if "images" in types else "other artifacts"
    assert said == (f"museum (region-of-museum) takes Helm charts only: leave out {what}, or choose another target.")


def test_charts_alone_are_taken(console, oci, museum):
    assert save(console, oci, museum, "charts").status_code == 302
    assert SyncRule.objects.get().resources == ["chart"]


def test_a_source_that_has_charts_only_has_no_images(console, oci, museum):
    said = fault_at(save(console, museum, oci, "images"), "images")
    assert said == "museum (region-of-museum) holds Helm charts only: nothing of what is chosen would be copied."
    assert save(console, museum, oci, "images", "charts").status_code == 302


def test_both_types_from_charts_to_charts_do_no_harm(museum):
    other = make_instance("other", NOBODY_LISTENS, kind="charts")
    assert fitting.type_fault(make_rule(museum, other, source_namespace="/")) == ""


def test_the_preview_promises_nothing(console, oci, museum):
    page = console.post(
        reverse("preview-new", args=["oci"]), sent(museum, "images"), headers={"HX-Request": "true"}
    ).content.decode()
    assert "takes Helm charts only" in page and "arrivals" not in page
    assert words(by_id(page, "preview-count")) == "No preview until this is corrected: Container images."
    assert words(by_id(page, "preview-brief")) == "Type and instances do not fit"


def test_a_plain_web_server_is_no_target(console, oci, site):
    """It is asked: its kind may be a museum as well."""
    site.publish({("web", "1.0.0"): package("web", "1.0.0")})
    static = make_instance("static", site.url, kind="charts")
    said = fault_at(save(console, oci, static, "charts"), "target")
    assert said.startswith("Nothing takes uploads at this address (HTTP 501)") or "(HTTP 40" in said
    page = console.post(
        reverse("preview-new", args=["oci"]), sent(static, "charts"), headers={"HX-Request": "true"}
    ).content.decode()
    assert "it can only be a source" in page and "arrivals" not in page


@pytest.mark.parametrize(("depth", "namespace"), [(0, "/"), (1, "team")])
def test_a_museum_is_a_target_and_is_asked_once(console, oci, depth, namespace):
    with FakeChartMuseum(depth=depth) as fake:
        there = make_instance("there", fake.url, kind="charts")
        for name in ("one", "two"):
            assert save(console, oci, there, "charts", name=name, target_namespace=namespace).status_code == 302
        assert len(fake.requests) == 1 and not fake.charts()


def test_whoever_may_not_write_may_save_and_so_may_who_cannot_ask(console, oci):
    """That is for the account to mend, or for the next hour."""
    with FakeChartMuseum(credential="user:secret") as fake:
        refusing = make_instance("refusing", fake.url, kind="charts")
        assert save(console, oci, refusing, "charts", target_namespace="/").status_code == 302


@pytest.mark.parametrize(
    ("source", "target", "resources", "said"),
    [
        ("oci", "museum", "image", "museum (there) takes Helm charts only: leave out container images"),
        ("oci", "museum", "image, chart", "museum (there) takes Helm charts only: leave out container images"),
        ("museum", "oci", "image", "museum (there) holds Helm charts only"),
    ],
)
def test_a_file_of_rules_is_refused_at_its_line(source, target, resources, said):
    with pytest.raises(RuleFileError, match="line 8: ") as raised:
        load_rules(FILE.format(source=source, target=target, resources=resources))
    assert said in str(raised.value) and not SyncRule.objects.exists()


def test_the_admin_says_it_at_the_field(console, oci, museum):
    form = {"name": "everything", "source": oci.pk, "source_namespace": "prod", "target": museum.pk, "images": "on"}
    more = {"parallelism": 4, "removal_share": 20, "schedule_zone": "UTC"}
    answer = console.post("/admin/sync/syncrule/add/", form | more)
    assert "takes Helm charts only" in str(answer.context["adminform"].form.errors["images"])
    assert not SyncRule.objects.exists()


def test_a_rule_from_before_says_so_in_the_list_and_on_its_page(console, oci, museum):
    make_rule(oci, museum, source_namespace="prod")
    Instance.objects.update(url=NOBODY_LISTENS)
    for page in ("/i/oci/rules/", "/i/oci/rules/everything/"):
        assert "takes Helm charts only: leave out container images" in console.get(page).content.decode()
    SyncRule.objects.update(images=False)
    assert "takes Helm charts only" not in console.get("/i/oci/rules/").content.decode()
