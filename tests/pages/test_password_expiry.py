"""The last day of an instance's password: entered, told before it comes, and after."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from sync.models import Instance
from sync.services.metrics import exposition
from sync.services.rulefile import RuleFileError, load_rules
from tests.pages.html import attributes, by_id, elements, texts, words

FORM = {"kind": "registry", "region": "x", "username": "robot", "connect_timeout": 10, "read_timeout": 60}
FORM |= {"max_connections": 64, "poll_minutes": 0}


def today() -> date:
    return timezone.now().date()


def ends_in(instance: Instance, days: int) -> None:
    instance.username, instance.password = "robot", "secret"
    instance.password_expires_on = today() + timedelta(days=days)
    instance.save()


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (15, ""),
        (14, "Credential ends in 14 days"),
        (1, "Credential ends in 1 day"),
        (0, "Credential ends today"),
        (-1, "Credential ended"),
    ],
)
def test_pages_warn_from_14_days_before(days, told, console, rule):
    for side in (rule.source, rule.target):
        ends_in(side, days)
    urls = ("/instances/", f"/i/{rule.source.name}/rules/", f"/i/{rule.source.name}/rules/{rule.name}/")
    for url, most in zip(urls, (2, 2, 1), strict=True):
        marks = [mark for mark in texts(console.get(url).content.decode(), "span") if mark.startswith("Credential")]
        assert marks == [told] * most if told else not marks, url
    page = console.get(f"/i/{rule.source.name}/").content.decode()
    warned = [text for text in texts(page, "p") if text.startswith("Credential")]
    assert [text.partition(":")[0] for text in warned] == ([told] if told else [])
    assert f"Last day: {rule.source.password_expires_on}" in words(next(elements(page, "dl")))


def test_without_a_password_nothing_ends(rule):
    rule.source.password_expires_on = today()
    assert not rule.source.credential_warning


def test_a_poll_tells_when_it_comes_near(console, rule):
    ends_in(rule.target, 15)
    url = f"/i/{rule.source.name}/rules/"
    page = console.get(url).content.decode()
    poll = next(attributes(part)["hx-get"] for part in elements(page, "div") if "pulse=" in str(attributes(part)))
    headers = {"HX-Request": "true", "HX-Target": "rules"}
    assert console.get(poll, headers=headers).status_code == 204
    ends_in(rule.target, 14)
    assert "Credential ends in 14 days" in console.get(poll, headers=headers).content.decode()


def save(console, instance, **change):
    values = {**FORM, "name": instance.name, "url": instance.url, **change}
    return console.post(f"/instances/{instance.name}/edit/", values)


def test_it_is_entered_with_the_password_and_asked_for_anew(console, source):
    assert save(console, source, password="first", password_expires_on="2027-01-31").status_code == 302
    source.refresh_from_db()
    assert source.password_expires_on == date(2027, 1, 31)
    page = console.get(f"/instances/{source.name}/edit/").content.decode()
    assert attributes(by_id(page, "id_password_expires_on"))["value"] == "2027-01-31"
    answer = save(console, source, password="second", password_expires_on="2027-01-31")
    assert answer.status_code == 422 and "enter that of the new one" in answer.content.decode()
    assert save(console, source, password="second", password_expires_on="2027-03-31").status_code == 302
    assert save(console, source, password_expires_on="2027-03-31").status_code == 302
    assert save(console, source, remove_password="on", username="").status_code == 302
    source.refresh_from_db()
    assert source.password_expires_on is None


@pytest.mark.parametrize("written", ["2027-01-31", '"2027-01-31"'])
def test_in_a_rule_file(written, source):
    text = "instances: [{name: a, region: x, url: 'http://127.0.0.1:1', password_expires_on: %s}]"
    load_rules(text % written)
    assert Instance.objects.get(name="a").password_expires_on == date(2027, 1, 31)
    report = load_rules(text.replace(", password_expires_on: %s", ""))
    assert "password_expires_on: 2027-01-31 -> (blank)" in report.changes[0].details
    for wrong in ("soon", "2027-02-30", "7", "2027-01-31 10:00:00"):
        with pytest.raises(RuleFileError, match="must be a date like 2027-01-31"):
            load_rules(text % wrong)


def test_figures(source, target):
    ends_in(source, 3)
    ends_in(target, -3)
    lines = [line.split() for line in exposition().decode().splitlines() if line.startswith("tcrconsole_credential")]
    left = {line[0].partition('"')[2].partition('"')[0]: float(line[1]) for line in lines}
    assert 3 * 86400 <= left["prod-gz"] <= 4 * 86400 and -3 * 86400 <= left["prod-eu"] <= -2 * 86400
