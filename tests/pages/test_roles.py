"""Every URL for every role, on an instance of one's own and on a foreign one. A URL without an entry here fails."""

from collections.abc import Iterator
from contextlib import suppress
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from sync.models import Announcement, ApiToken, Instance, RegionPair, SyncRule, SyncTask, TaskRepository
from sync.services import grants
from sync.services.grants import Right

OPEN, SIGNED_IN, PLATFORM, GIVERS, STAFF = "open", "signed in", "platform", "who gives access", "staff"
UNSEEN = "platform, and unseen by others"
TOKEN, SIGHT, BEARER = "a token, or platform", "a role on the target, too", "a token for pipelines"
NO_PROVIDER = "single sign-on"
# What a GET needs, and what a POST needs where that is another matter; None: there is no such method.
NEEDED: dict[str, tuple[str | None, str | None]] = {
    **dict.fromkeys(("login", "healthz", "readyz", "favicon"), (OPEN, None)),
    "hook": (None, OPEN),
    **dict.fromkeys(("home", "where", "schedule-times", "help", "instances"), (SIGNED_IN, None)),
    **dict.fromkeys(("preferences", "password"), (SIGNED_IN, SIGNED_IN)),
    "logout": (None, SIGNED_IN),
    "metrics": (TOKEN, None),
    "instance-new": (PLATFORM, PLATFORM),
    "instance-test": (None, PLATFORM),
    **dict.fromkeys(("region-pair-add", "region-pair-remove"), (None, UNSEEN)),
    **dict.fromkeys(("access", "audit"), (GIVERS, None)),
    # Not there without a provider: see test_sso.
    **dict.fromkeys(("sso", "sso-callback"), (NO_PROVIDER, None)),
    **dict.fromkeys(("instance", "instance-namespaces", "rules", "rule"), (Right.VIEW, None)),
    **dict.fromkeys(("task", "task-log", "task-log-text", "task-repository"), (Right.VIEW, None)),
    # It shows what the target holds: see test_a_check_needs_sight_of_the_target.
    "rule-check": (SIGHT, None),
    **dict.fromkeys(("instance-check", "rule-switch", "rule-sync", "task-retry"), (None, Right.OPERATE)),
    "task-stop": (Right.OPERATE, Right.OPERATE),
    "task-removals": (None, Right.MANAGE_RULES),
    **dict.fromkeys(("rule-new", "rule-edit", "rule-delete"), (Right.MANAGE_RULES, Right.MANAGE_RULES)),
    "rule-namespaces": (Right.MANAGE_RULES, None),
    # A GET leads to the form, which looks itself.
    **dict.fromkeys(("preview-new", "preview-edit"), (SIGNED_IN, Right.MANAGE_RULES)),
    **dict.fromkeys(("tell-test", "tell-again"), (None, Right.MANAGE_RULES)),
    **dict.fromkeys(("instance-edit", "instance-delete"), (Right.ADMINISTER, Right.ADMINISTER)),
    **dict.fromkeys(("hook-secret", "hook-secret-remove", "instance-access"), (Right.ADMINISTER, Right.ADMINISTER)),
    "instance-access-remove": (None, Right.ADMINISTER),
    "instance-tokens": (Right.OPERATE, Right.OPERATE),
    "instance-token-revoke": (None, Right.OPERATE),
    # Nobody comes in by a session: tests/pages/test_api.py comes in by tokens.
    "api-sync": (None, BEARER),
    **dict.fromkeys(("api-task", "api-where", "api-nothing"), (BEARER, None)),
    "admin-where": (STAFF, None),
}
ROLES = ("nobody", *Right, PLATFORM)
ARGUMENTS: tuple[tuple[str, ...], ...] = (
    (),
    ("pair_id",),
    ("instance",),
    ("instance", "name"),
    ("instance", "task_id"),
    ("task_id",),
    ("rest",),
    ("instance", "token_id"),
    ("instance", "name", "announcement_id"),
    ("instance", "task_id", "repository_id"),
)
REFUSED = {403, 404}
# What is reached, and refused: no role to take away is named, no secret is shown, the token is somebody else's.
NOTHING_TO_DO = {
    *((name, "post") for name in ("instance-access-remove", "hook", "instance-token-revoke")),
}


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """Of every URL of the console, those of the admin site aside: they are in test_admin_roles."""
    for one in patterns:
        if isinstance(one, URLResolver):
            if one.namespace is None:
                yield from names(one.url_patterns)
        else:
            yield one.name or {"favicon.ico": "favicon", "hooks/<str:name>": "hook"}[str(one.pattern)]


@pytest.fixture
def things(rule: SyncRule, target: Instance) -> dict[str, Any]:
    """What the URLs name, on the instance of one's own."""
    foreign = SyncRule.objects.create(name="web", source=target, target=rule.source, source_namespace="prod")
    found: dict[str, Any] = {"pair_id": RegionPair.objects.create(source="a", target="b").pk}
    for whose, one in (("own", rule), ("foreign", foreign)):
        task = SyncTask.objects.create(rule=one, source=one.source, target=one.target, snapshot=one.snapshot())
        repository = TaskRepository.objects.create(task=task, name="prod/a", target_name="prod/a")
        announcement = Announcement.objects.create(rule=one, task_id=task.pk, status="failed")
        found[whose] = {
            "instance": one.source.name,
            "name": one.name,
            "task_id": task.pk,
            "repository_id": repository.pk,
            "announcement_id": announcement.pk,
            "token_id": make_token(one.source).pk,
            "rest": "unknown",
        }
    return found


def make_token(instance: Instance) -> ApiToken:
    """Of somebody else."""
    maker, _ = User.objects.get_or_create(username="maker", is_superuser=True)
    return ApiToken.objects.create(
        instance=instance, maker=maker, name="ci", token_hash=instance.name, expires_at=timezone.now()
    )


def url_of(name: str, things: dict[str, Any], whose: str) -> str:
    if name == "favicon":
        return "/favicon.ico"
    of = things[whose]
    if name in ("instance-edit", "instance-delete", "hook"):
        return reverse(name, args=[of["instance"]])
    known = {**of, "pair_id": things["pair_id"]}
    for keys in ARGUMENTS:
        with suppress(NoReverseMatch, KeyError):
            return reverse(name, kwargs={key: known[key] for key in keys})
    raise AssertionError(f"{name} has other arguments than any URL so far: add them to ARGUMENTS")


def expected(need: str, role: str, whose: str) -> set[int]:
    """The statuses of a refusal; none where it is no refusal."""
    if need == BEARER:
        return {401}
    if need == NO_PROVIDER:
        return {404}
    if role == PLATFORM or need in (OPEN, SIGNED_IN):
        return set()
    if need == PLATFORM:
        return {403}
    if need == UNSEEN:
        return {404}
    if need in (STAFF, TOKEN):
        return {302} if need == STAFF else {401}
    if need == GIVERS:
        return set() if role == Right.ADMINISTER else {404}
    rights = {right for right, given in grants.GIVEN_BY.items() if role in given} if whose == "own" else set()
    if Right.VIEW not in rights:
        return {404}
    return set() if need in rights else {403}


def test_every_url_says_what_it_needs():
    assert set(names(get_resolver().url_patterns)) == NEEDED.keys()


@pytest.mark.parametrize("role", ROLES)
def test_every_url_for_every_role(role, things, source):
    client = Client()
    user = User.objects.create_user("somebody", is_superuser=role == PLATFORM, is_staff=role == PLATFORM)
    if role in set(Right):
        grants.grant(Right(role), user, source)
    client.force_login(user)
    signed_in = client.cookies.output(header="", sep=";")
    wrong = []
    for name, method, need in needs():
        for whose in ("own", "foreign"):
            client.cookies = SimpleCookie(signed_in)  # whatever became of it before, by signing out for one
            url = url_of(name, things, whose)
            # Without values: a form that is reached is refused as incomplete, a registry that is asked is away.
            status = status_of(client, method, url)
            refusal = expected(need, role, whose)
            if not (status in refusal if refusal else status not in REFUSED or (name, method) in NOTHING_TO_DO):
                wrong.append(f"{method} {url} ({whose}): {status} instead of {refusal or 'an answer'}")
    assert wrong == []
    client.cookies = SimpleCookie(signed_in)
    assert client.get(reverse("preferences")).status_code == 200, "signed in to the end"


def needs() -> Iterator[tuple[str, str, str]]:
    for name, both in NEEDED.items():
        for method, need in zip(("get", "post"), both, strict=True):
            if need is not None:
                yield name, method, need


def status_of(client: Client, method: str, url: str) -> int:
    """Whatever it does is undone: the next URL finds everything."""
    with transaction.atomic():
        status: int = getattr(client, method)(url).status_code
        transaction.set_rollback(True)
    return status


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, method, need in needs() if need not in (OPEN, NO_PROVIDER)]
)
def test_who_is_not_signed_in_reaches_nothing(client, things, name, method):
    status = status_of(client, method, url_of(name, things, "own"))
    assert status in (302, 401)


def test_a_check_needs_sight_of_the_target(client, rule):
    user = User.objects.create_user("somebody")
    client.force_login(user)
    grants.grant(Right.OPERATE, user, rule.source)
    url = reverse("rule-check", args=[rule.source.name, rule.name])
    assert client.get(url).status_code == 403
    grants.grant(Right.RECEIVE, user, rule.target)
    assert client.get(url).status_code == 200
