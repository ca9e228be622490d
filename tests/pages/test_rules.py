"""The list of rules, and what its buttons do."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from sync.models import Instance, Lag, Status, SyncRule, SyncTask, Trigger
from sync.services import lag
from tests.pages.html import attributes, by_id, elements, texts, words
from tests.pages.test_tasks import make_repository, make_task

RULES = "/i/prod-gz/rules/"


def test_sidebar_has_instance_synchronization(console, source):
    links = list(elements(console.get(RULES).content.decode(), "a"))
    assert [attributes(link)["href"] for link in links if words(link) == "Instance Synchronization"] == [RULES, RULES]


def test_list_shows_rules_of_the_current_instance_only(console, rule):
    SyncRule.objects.create(name="back", source=rule.target, source_namespace="prod", target=rule.source)
    page = console.get(RULES).content.decode()
    assert [words(cell) for cell in elements(page, "th") if attributes(cell).get("scope") == "row"] == ["web"]
    assert "prod-eu (Frankfurt)" in next(words(row) for row in elements(page, "tr") if "web" in words(row))


def test_columns(console, rule):
    heads = [words(cell) for cell in elements(console.get(RULES).content.decode(), "th")]
    assert heads[:8] == ["Name", "Source", "Target", "Type", "Last run", "Lag", "Status", "Operation"]


def test_instance_name_changes_the_current_instance_and_the_choice_is_remembered(console, rule):
    page = console.get(RULES).content.decode()
    assert "Instance Name: prod-gz (ap-guangzhou)" in texts(page, "summary")
    choices = {
        words(link).split(" 127")[0]: attributes(link)["href"] for link in elements(page, "a") if "127" in words(link)
    }
    assert choices == {"prod-gz (ap-guangzhou)": RULES, "prod-eu (Frankfurt)": "/i/prod-eu/rules/"}
    assert "web" not in texts(console.get("/i/prod-eu/rules/").content.decode(), "th")
    for name in ("prod-eu", "prod-gz", "prod-eu"):
        console.get(f"/i/{name}/rules/")
        assert console.get("/").headers["Location"] == f"/i/{name}/rules/"
    assert "Instance Name: prod-eu (Frankfurt)" in texts(console.get("/instances/").content.decode(), "summary")


def test_the_choice_stays_on_the_page_where_it_is_made(console, rule):
    page = console.get("/i/prod-gz/new-rule/").content.decode()
    assert "/i/prod-eu/new-rule/" in [attributes(link)["href"] for link in elements(page, "a")]


def test_without_rules_the_page_says_what_a_rule_does(console, source):
    page = console.get(RULES).content.decode()
    assert any("No rules yet" in text and "each push starts it by itself" in text for text in texts(page, "p"))
    assert [words(link) for link in elements(page, "a") if attributes(link)["href"] == "/help/"][-1:] == [
        "How rules work"
    ]
    # The one above is hidden until there is a rule (a browser looks).
    creating = [link for link in elements(page, "a") if attributes(link)["href"] == "/i/prod-gz/new-rule/"]
    assert [words(link) for link in creating] == ["Create", "Create"]


REFUSED = "Target prod-eu: cannot start an upload to prod/web: the registry answered 403 DENIED. Ask for the right."


@pytest.mark.parametrize(
    ("of_task", "of_repository", "failed", "led"),
    [
        ("", REFUSED, 2, "?show=failed#repository-heading"),
        ("Source prod-gz: cannot list repositories: refused.", REFUSED, 0, ""),
    ],
)
def test_a_last_run_that_ended_badly_says_why(console, rule, of_task, of_repository, failed, led):
    task = make_task(rule, "partial", reason=of_task, failed=failed)
    make_repository(task, "prod/api", "succeeded", reason="The source has no repository of this name.")
    make_repository(task, "prod/web", "partial", reason=of_repository)
    why = by_id(console.get(RULES).content.decode(), f"why-{rule.pk}")
    assert attributes(why)["href"] == f"/i/prod-gz/tasks/{task.pk}/{led}"
    assert attributes(why)["title"] == (of_task or of_repository)
    assert words(why) in ("Target: the registry answered 403 DENIED", "Source: refused")


def test_a_last_run_that_did_not_end_badly_says_no_reason(console, rule):
    for status in ("succeeded", "synchronizing", "stopped"):
        task = make_task(rule, status, reason="Something.")
        make_repository(task, "prod/web", status, reason="Something.")
        assert "why-" not in console.get(RULES).content.decode()


def test_operations_name_their_rule(console, rule):
    page = console.get(RULES).content.decode()
    named = {
        attributes(element)["aria-label"]: words(element)
        for element in elements(page, "a", "button", "summary")
        if "aria-label" in attributes(element)
    }
    assert named["Sync web"] == "Sync"
    assert named["Configuration of web"] == "Configuration"
    assert named["Delete web"] == "Delete"
    assert named["More operations of web"] == "More"
    menu = str(by_id(page, f"more-{rule.pk}"))
    assert [attributes(one)["aria-label"] for one in elements(menu, "a")] == ["Configuration of web", "Delete web"]


def test_the_name_of_a_rule_leads_to_its_triggering_logs(console, rule):
    link = by_id(console.get(RULES).content.decode(), f"rule-{rule.pk}")
    page = console.get(attributes(link)["href"]).content.decode()
    assert texts(page, "h1") == ["Triggering Logs of web"]


def test_a_rule_may_be_called_new(console, rule):
    SyncRule.objects.filter(pk=rule.pk).update(name="new")
    assert texts(console.get("/i/prod-gz/rules/new/").content.decode(), "h1") == ["Triggering Logs of new"]


def test_switch_disables_and_enables_in_place(console, rule):
    for wanted in (False, True):
        switch = attributes(by_id(console.get(RULES).content.decode(), f"switch-{rule.pk}"))
        assert (switch["role"], switch["aria-checked"]) == ("switch", str(not wanted).lower())
        answer = console.post(switch["formaction"], {switch["name"]: switch["value"]})
        assert answer.headers["Location"] == RULES
        assert SyncRule.objects.get().enabled is wanted


def test_a_stale_switch_does_not_turn_the_rule_back(console, rule):
    for _ in range(2):
        console.post(reverse("rule-switch", args=["prod-gz", "web"]), {"enable": "false"})
    assert SyncRule.objects.get().enabled is False


def test_switch_in_place_answers_with_a_message_and_refreshes_the_list(console, rule):
    answer = console.post(
        reverse("rule-switch", args=["prod-gz", "web"]), {"enable": "false"}, headers={"HX-Request": "true"}
    )
    assert "refresh" in answer.headers["HX-Trigger"]
    toasts = by_id(answer.content.decode(), "toasts")
    assert words(toasts) == "Rule web is disabled." and "hx-swap-oob" in attributes(toasts)


@pytest.mark.parametrize("enabled", [True, False])
def test_sync_opens_one_task_and_shows_it(console, rule, enabled):
    SyncRule.objects.update(enabled=enabled)
    sync = reverse("rule-sync", args=["prod-gz", "web"])
    first, second = console.post(sync), console.post(sync)
    task = SyncTask.objects.get()
    assert (task.trigger, task.actor, task.status) == (Trigger.MANUAL, "root", Status.WAITING)
    assert first.headers["Location"] == second.headers["Location"] == f"/i/prod-gz/tasks/{task.pk}/"


def test_the_message_after_sync_leads_to_the_task(console, rule):
    for said in ("Task {} was started for rule web.", "Task {} was open for rule web already: no other was started."):
        answer = console.post(reverse("rule-sync", args=["prod-gz", "web"]), headers={"HX-Request": "true"})
        toasts = answer.content.decode()
        task = SyncTask.objects.get()
        assert words(by_id(toasts, "toasts")) == said.format(task.pk)
        assert [attributes(link)["href"] for link in elements(toasts, "a")] == [f"/i/prod-gz/tasks/{task.pk}/"]


def test_while_a_task_is_open_its_rule_shows_it(console, rule):
    console.post(reverse("rule-sync", args=["prod-gz", "web"]))
    page = console.get(RULES).content.decode()
    assert words(by_id(page, f"sync-{rule.pk}")) == "View run"
    assert attributes(by_id(page, f"sync-{rule.pk}"))["href"] == f"/i/prod-gz/tasks/{SyncTask.objects.get().pk}/"
    assert "Waiting" in texts(page, "span")


def test_the_list_tells_the_lag_and_what_waits_for_it(console, rule):
    def cell() -> str:
        page = console.get(RULES).content.decode()
        return next(words(one) for one in elements(page, "td") if attributes(one).get("data-label") == "Lag")

    assert cell() == "— No pushes in 24 h"
    SyncRule.objects.update(lag_median=2.0, lag_p95=8.0, lag_worst=65.0)
    assert cell() == "2.0 s worst 1 min 05 s"
    at = timezone.now() - timedelta(minutes=9)
    SyncTask.objects.create(rule=rule, source=rule.source, snapshot={}, trigger=Trigger.PUSH, notified_at=at)
    assert cell() == "2.0 s worst 1 min 05 s Oldest waiting: pushed 9 min ago"


def test_state_is_changed_by_post_only(console, rule):
    for name in ("rule-switch", "rule-sync"):
        assert console.get(reverse(name, args=["prod-gz", "web"])).status_code == 405


def test_deleting_asks_first_and_says_what_stays(console, rule):
    console.post(reverse("rule-sync", args=["prod-gz", "web"]))
    page = console.get("/i/prod-gz/rules/web/delete/").content.decode()
    assert "What it copied to prod-eu (Frankfurt) stays there." in texts(page, "li")
    assert "1 task of this rule is waiting or running and will be stopped." in texts(page, "li")
    assert SyncRule.objects.exists()


def test_deleting_stops_its_task_which_stays_reachable(console, rule):
    console.post(reverse("rule-sync", args=["prod-gz", "web"]))
    assert console.post("/i/prod-gz/rules/web/delete/").headers["Location"] == RULES
    assert not SyncRule.objects.exists()
    page = console.get(f"/i/prod-gz/tasks/{SyncTask.objects.get().pk}/").content.decode()
    assert "web (deleted)" in texts(page, "span") and "Stopped" in texts(page, "span")


def test_the_dialog_gets_the_question_without_the_page(console, rule):
    answer = console.get("/i/prod-gz/rules/web/delete/", headers={"HX-Request": "true"})
    assert texts(answer.content.decode(), "h2") == ["Delete rule web?"] and not texts(answer.content.decode(), "nav")


def test_logs_stay_with_a_rule_that_was_renamed(console, rule):
    console.post(reverse("rule-sync", args=["prod-gz", "web"]))
    SyncRule.objects.update(name="site")
    assert str(SyncTask.objects.get().pk) in texts(console.get("/i/prod-gz/rules/site/").content.decode(), "th")


def test_a_missing_worker_is_told(console, source, valkey):
    """A real queue that no worker listens to."""
    assert "No worker is running; tasks will wait." in texts(console.get(RULES).content.decode(), "p")


def test_one_instance_needs_no_switcher(console, source):
    page = console.get(RULES).content.decode()
    assert "Instance Name: prod-gz (ap-guangzhou)" in texts(page, "p")


def test_the_list_costs_the_same_number_of_queries_with_more_rules(console, rule, django_assert_max_num_queries):
    for number in range(20):
        added = SyncRule.objects.create(name=f"r{number}", source=rule.source, source_namespace="a", target=rule.target)
        SyncTask.objects.create(rule=added, source=rule.source, snapshot=added.snapshot(), trigger="manual")
    console.get(RULES)  # whether workers are there is known for some seconds
    with django_assert_max_num_queries(10):
        console.get(RULES)
    assert Instance.objects.count() == 2


def test_how_late_pushes_are_stands_on_the_rule(console, rule):
    url = reverse("rule", args=[rule.source.name, rule.name])
    assert "No pushes in 24 h" in console.get(url).content.decode()
    for late in (0.84, 75.0):
        Lag.objects.create(rule=rule, seconds=late)
    lag.refresh()
    SyncTask.objects.create(
        rule=rule, source=rule.source, snapshot=rule.snapshot(), trigger="push", notified_at=timezone.now()
    )
    shown = " ".join(console.get(url).content.decode().split())
    assert "0.8 s" in shown
    assert "95 % within 1 min 15 s, worst 1 min 15 s" in shown
    assert "Oldest push on its way: told" in shown


def test_the_list_tells_of_a_target_that_has_a_problem(console, rule):
    Instance.objects.filter(pk=rule.target.pk).update(healthy=False, health_reason="Refused.")
    page = console.get(reverse("rules", args=["prod-gz"])).content.decode()
    assert "prod-eu (Frankfurt) Problem prod" in [words(cell) for cell in elements(page, "td")]
