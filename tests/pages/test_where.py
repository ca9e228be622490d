"""Where is it? The page, the field in every header, and the same for support staff."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sync.models import Delivery, Instance, SyncRule
from sync.services import grants
from sync.services.grants import Right
from tests.fakes.lists import HELD
from tests.fakes.registry import Answer, FakeRegistry
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import HTMX, make_repository, make_task

WHERE = reverse("where")
STAFF = reverse("admin-where")
NAME = "prod/web:1.2.3"


@pytest.fixture
def failed(rule: SyncRule) -> SyncRule:
    """A rule whose last task failed to bring what is looked for."""
    task = make_task(rule, "failed", planned=1, failed=1)
    make_repository(task, "prod/web", "failed").resources.create(
        tag="1.2.3", outcome="failed", reason="Target prod-eu: refused", hint="Ask its owner."
    )
    return rule


def looked_up(client: Client, ref: str = NAME, url: str = WHERE) -> str:
    """The whole page with the answer, as who has no script asks for it."""
    return client.get(url, {"ref": ref, "now": "on"}).content.decode()


def test_before_anything_is_typed_the_page_says_what_it_is_for(console, rule):
    page = console.get(WHERE).content.decode()
    assert "Every instance is asked whether it has the image or chart" in words(by_id(page, "answer"))
    assert "autofocus" in attributes(by_id(page, "ref"))


def test_the_page_is_there_before_the_instances_have_answered(console, rule):
    with FakeRegistry() as registry:
        registry.script("HEAD", "/v2/", Answer(wait=True))
        registry.script("GET", "/v2/", Answer(wait=True))
        Instance.objects.update(url=registry.url)
        page = console.get(WHERE, {"ref": NAME}).content.decode()
        assert not registry.requests
    assert words(by_id(page, "answer")) == f"{NAME} Asking the instances… Show the answer"
    (part,) = [attributes(part) for part in elements(page, "div") if attributes(part).get("hx-trigger") == "load"]
    assert part["hx-get"] == f"{WHERE}?ref=prod/web%3A1.2.3"
    assert "Which instances have prod/web:1.2.3" in console.get(part["hx-get"], headers=HTMX).content.decode()
    (now,) = [attributes(link)["href"] for link in elements(page, "a") if words(link) == "Show the answer"]
    assert "Which instances have prod/web:1.2.3" in console.get(now).content.decode()


def test_every_page_has_the_field_and_the_menu_the_page(console, rule):
    page = console.get(reverse("rules", args=["prod-gz"])).content.decode()
    form = next(form for form in elements(page, "form") if attributes(form).get("role") == "search")
    assert (attributes(form)["action"], attributes(form)["method"]) == (WHERE, "get")
    assert attributes(by_id(page, "find"))["name"] == "ref"
    links = [attributes(link)["href"] for link in elements(page, "a") if words(link) == "Where is it?"]
    assert links == [WHERE, WHERE], "in the side bar and in the menu of small screens"


def test_why_something_is_not_in_frankfurt(console, failed):
    page = looked_up(console)
    assert attributes(by_id(page, "ref"))["value"] == NAME
    rows = [words(row) for row in elements(page, "tr")]
    assert any("prod-eu" in row and "Not known" in row and "prod-eu: cannot look up manifest" in row for row in rows)
    verdict = next(row for row in rows if "Target prod-eu: refused Ask its owner." in row)
    assert "web" in verdict and "Failed" in verdict and "could not be looked at" in verdict
    links = {attributes(link)["href"] for link in elements(page, "a")}
    task = failed.tasks.get()
    assert {reverse("rule", args=["prod-gz", "web"]), reverse("task", args=["prod-gz", task.pk])} <= links


def test_what_an_instance_has_under_several_names_stands_together(console, rule):
    sides = {"source": rule.source, "source_namespace": "prod", "target": rule.target}
    for name in ("mirror", "backup"):
        SyncRule.objects.create(name=name, target_namespace=name, **sides)
    spans = [(words(head), attributes(head).get("rowspan")) for head in elements(looked_up(console), "th")]
    heads = {name: span for name, span in spans if span}
    assert heads == {"prod-eu Frankfurt": "2", "prod-gz ap-guangzhou": "1"}


def test_the_part_that_leaves_it_out_leads_to_the_configuration(console, rule):
    SyncRule.objects.update(tags="v.*", enabled=False)
    page = looked_up(console)
    assert "Tags : v.* does not match 1.2.3" in texts(page, "li")
    assert reverse("rule-edit", args=["prod-gz", "web"]) in [attributes(link)["href"] for link in elements(page, "a")]


def test_what_is_no_reference_is_refused_in_its_own_words(console, rule):
    answer = console.get(WHERE, {"ref": "Prod Web"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert any("is not a" in text for text in texts(page, "p"))
    assert attributes(by_id(page, "ref"))["value"] == "Prod Web"


def test_a_host_that_nobody_knows_is_told(console, rule):
    page = looked_up(console, "registry.example/prod/web")
    assert any("No instance has the address registry.example ." in text for text in texts(page, "p"))
    assert texts(page, "h2")[0] == "prod/web:latest"


def test_rules_of_other_namespaces_are_named_when_the_name_is_nobodys(console, rule):
    assert any("No rule copies this name" in text for text in texts(looked_up(console, "other/web"), "p"))


def test_for_htmx_the_answer_alone(console, rule):
    answer = console.get(WHERE, {"ref": NAME}, headers=HTMX)
    assert "HX-Request" in answer.headers["Vary"]
    part = answer.content.decode()
    assert not texts(part, "h1") and words(by_id(part, "answer"))


def test_for_htmx_the_answer_comes_with_its_title_and_is_told_aloud(console, failed):
    part = console.get(WHERE, {"ref": NAME}, headers=HTMX).content.decode()
    assert texts(part, "title") == texts(looked_up(console), "title") == [f"{NAME} - Where is it? - Console"]
    announcer = by_id(part, "announcer")
    assert attributes(announcer)["hx-swap-oob"] == "innerHTML"
    assert words(announcer) == f"{NAME}: There in 0 of 2 instances; 2 could not be looked at."


def test_for_htmx_a_refusal_is_an_alert_and_not_told_twice(console, rule):
    part = console.get(WHERE, {"ref": "Prod Web"}, headers=HTMX).content.decode()
    assert words(by_id(part, "announcer")) == ""
    assert [attributes(one).get("role") for one in elements(part, "div")].count("alert") == 1


def test_who_was_granted_nothing_learns_nothing(rule):
    outsider = Client()
    outsider.force_login(User.objects.create_user("sub-account"))
    page = looked_up(outsider)
    assert any("You see no instance yet, so none can be asked for you." in one for one in texts(page, "p"))
    assert "prod-gz" not in page and "prod-eu" not in page


def test_it_costs_few_queries(console, failed, django_assert_max_num_queries):
    for number in range(20):
        another = SyncRule.objects.create(
            name=f"r{number}", source=failed.source, source_namespace="prod", target=failed.target
        )
        Delivery.objects.create(rule=another, target=failed.target, repository="prod/web", tag="1.2.3", digest="d")
    with django_assert_max_num_queries(12):
        page = looked_up(console)
    assert all(f"r{number}" in page for number in range(20))


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("support", is_staff=True)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def allow(user: User) -> None:
    """Looks at all instances."""
    for instance in Instance.objects.all():
        grants.grant(Right.VIEW, user, instance)


def test_support_staff_get_there_from_the_index_of_the_admin(staff, failed):
    allow(staff)
    client = client_of(staff)
    forms = [attributes(form)["action"] for form in elements(client.get("/admin/").content.decode(), "form")]
    assert STAFF in forms
    page = looked_up(client, url=STAFF)
    assert any("Target prod-eu: refused Ask its owner." in cell for cell in texts(page, "td"))
    assert reverse("admin:sync_synctask_change", args=[failed.tasks.get().pk]) in page
    assert WHERE not in [attributes(link).get("href") for link in elements(page, "a")]


def test_in_the_admin_too_nonsense_is_refused(staff, rule):
    allow(staff)
    answer = client_of(staff).get(STAFF, {"ref": "Prod Web"})
    assert answer.status_code == 422
    assert any("is not a" in text for text in texts(answer.content.decode(), "p"))


def test_the_view_for_support_staff_tells_what_their_roles_let_them_see(staff, rule):
    user = User.objects.create_user("user")
    allow(user)
    assert client_of(user).get(STAFF).headers["Location"].startswith("/admin/login/")
    client = client_of(staff)
    assert rule.source.name not in client.get(STAFF, {"ref": NAME}).content.decode()
    allow(staff)
    assert rule.source.name in client.get(STAFF, {"ref": NAME}).content.decode()


@pytest.mark.parametrize("url", [WHERE, STAFF])
def test_who_does_not_see_all_is_told_that_others_were_not_asked(staff, rule, target, url):
    """The rule that brings it to prod-eu is there, and is neither told nor said not to be."""
    grants.grant(Right.VIEW, staff, target)
    page = looked_up(client_of(staff), url=url)
    said = texts(page, "p", "td")
    assert any(one.startswith("Only instances that you may see were asked") for one in said)
    assert any(one.startswith("There in 0 of 1 instance that you may see;") for one in said)
    assert any(one.startswith("No rule that you may see copies this name") for one in said)
    assert "No rule copies this name" not in page and "prod-gz" not in page and "ap-guangzhou" not in page
    hosted = looked_up(client_of(staff), "registry.example/prod/web", url=url)
    assert any(one.startswith("No instance that you may see has the address") for one in texts(hosted, "p"))


def test_the_target_that_is_not_theirs_was_not_asked(staff, rule, source):
    grants.grant(Right.VIEW, staff, source)
    with FakeRegistry() as registry:
        registry.script("HEAD", "/v2/prod/web/manifests/1.2.3", Answer(200, headers=HELD))
        Instance.objects.filter(pk=source.pk).update(url=registry.url)
        page = looked_up(client_of(staff))
    assert any("prod-eu was not asked: you may not see it" in one for one in texts(page, "li"))


def test_who_sees_all_is_told_nothing_of_the_kind(console, rule):
    assert "that you may see" not in looked_up(console) and "that you may see" not in looked_up(console, url=STAFF)


def test_a_suspended_rule_says_so_and_offers_no_sync(console, rule, start_registry):
    SyncRule.objects.update(suspension="A right is missing.")
    with FakeRegistry() as registry:
        registry.script("HEAD", "/v2/prod/web/manifests/1.2.3", Answer(200, headers=HELD))
        Instance.objects.filter(pk=rule.source.pk).update(url=registry.url)
        Instance.objects.filter(pk=rule.target.pk).update(url=start_registry().url)
        page = looked_up(console)
    assert "Suspended : nothing starts this rule. A right is missing." in texts(page, "li")
    assert "Nothing starts this rule as long as it is suspended." in texts(page, "p")
    assert "Sync" not in texts(page, "button")
