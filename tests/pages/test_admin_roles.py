"""Every address of the admin site for every role. A model or an address without an entry here fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from sync.models import Announcement, AuditEntry, Delivery, Identity, Notification, SyncRule
from sync.services import grants
from sync.services.grants import Right
from tests.pages.test_tasks import make_repository, make_task

# What roles on an instance show; what none but platform administrators see.
BY_ROLE = {
    *("instance", "syncrule", "synctask", "taskrepository", "taskresource", "taskpart", "logline"),
    *("delivery", "notification", "announcement"),
}
PLATFORM = {"user", "group", "auditentry", "identity"}
# What platform administrators add, change and delete here; the rest is to look at only.
ALL = {"add", "change", "delete"}
CHANGED = {"syncrule": ALL, "user": ALL, "group": ALL, "identity": {"delete"}}
OF_MODELS = {"changelist", "add", "change", "delete", "history"}
# Of nobody's data: the start page, signing in and out, the reader's own password, words for scripts, lists of choices.
OF_THE_SITE = {
    *("index", "login", "logout", "password_change", "password_change_done", "autocomplete", "jsi18n", "view_on_site"),
    *("app_list", "auth_user_password_change", ""),
}
NONE, OWN, FOREIGN = "no role", "a role on its instance", "a role on another instance"
ROLES = ("nobody", "no staff", NONE, FOREIGN, OWN, "platform administrator")


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from names(one.url_patterns)
        else:
            yield one.name or ""


def test_every_address_is_known():
    models = {name: model for model in admin.site._registry if (name := model._meta.model_name) in BY_ROLE | PLATFORM}
    others = {model for model in admin.site._registry if model not in models.values()}
    assert models.keys() == BY_ROLE | PLATFORM
    assert {model._meta.app_label for model in others} == {"django_rq"}
    known = {f"{model._meta.app_label}_{name}_{page}" for name, model in models.items() for page in OF_MODELS}
    found = {name for name in names(admin.site.urls[0]) if not name.startswith("django_rq_")}
    assert found == known | OF_THE_SITE


@pytest.fixture
def rows(rule: SyncRule) -> dict[str, Model]:
    """One of each, of the rule's source or of no instance."""
    task = make_task(rule)
    repository = make_repository(task, "prod/web")
    user = User.objects.create_user("ann")
    made = [
        *(rule.source, rule, task, repository, user, Group.objects.create(name="team")),
        repository.resources.create(tag="1.0", outcome="copied"),
        task.parts.create(),
        task.log.create(message="Started."),
        Delivery.objects.create(rule=rule, target=rule.target, repository="prod/web", tag="1.0", digest="sha256:1"),
        Notification.objects.create(instance=rule.source, repository="prod/web", tag="1.0"),
        Announcement.objects.create(rule=rule, task=task, url="https://hook.example"),
        Identity.objects.create(user=user, issuer="https://idp.example", subject="1"),
    ]
    found = {row._meta.model_name: row for row in made} | {"auditentry": AuditEntry.objects.latest("pk")}
    assert found.keys() == BY_ROLE | PLATFORM
    return found


@pytest.fixture
def client_of(rule: SyncRule) -> Any:
    def client_of(role: str) -> Client:
        client = Client()
        if role == "nobody":
            return client
        staff, platform = role != "no staff", role == "platform administrator"
        user = User.objects.create_user("reader", is_staff=staff, is_superuser=platform)
        if role in (OWN, FOREIGN):
            grants.grant(Right.ADMINISTER, user, rule.source if role == OWN else rule.target)
        client.force_login(user)
        return client

    return client_of


def expected(role: str, name: str, page: str) -> set[int]:
    """Of a GET. 302: to the form for signing in, or to the start page, which says that there is no such row."""
    if role in ("nobody", "no staff"):
        return {302}
    reads = {"changelist", "change", "history"}
    if role == "platform administrator":
        return {200} if page in reads | CHANGED.get(name, set()) else {403}
    if name in PLATFORM:
        return {403, 302} if page == "history" else {403}
    if page == "changelist":
        return {200}
    if page in ("add", "delete"):
        return {403, 302} if page == "delete" else {403}
    # What has happened at both sides is told with the target as well.
    return {200} if role == OWN else {302}


@pytest.mark.parametrize("role", ROLES)
def test_every_page_for_every_role(role, rows, client_of):
    client, wrong = client_of(role), []
    for name, row in rows.items():
        for page in sorted(OF_MODELS):
            arguments = [row.pk] if page in ("change", "delete", "history") else []
            url = reverse(f"admin:{row._meta.app_label}_{name}_{page}", args=arguments)
            answer = client.get(url)
            if answer.status_code not in expected(role, name, page):
                wrong.append((name, page, answer.status_code))
            elif page == "changelist" and answer.status_code == 200:
                shown = row in answer.context["cl"].result_list
                if shown != (role in (OWN, "platform administrator")):
                    wrong.append((name, page, f"shown: {shown}"))
    assert not wrong


@pytest.mark.parametrize("role", ROLES)
def test_the_pages_of_queues_are_for_platform_administrators(role, client_of, valkey):
    status = client_of(role).get("/admin/django_rq/dashboard/").status_code
    assert status == (200 if role == "platform administrator" else 403)
