"""Signing in with a password: what is taken for one, and who has to wait after too many wrong ones."""

from datetime import timedelta
from io import StringIO

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db.models import F
from django.test import Client

from sync.models import AuditEntry
from tests.pages.html import texts

pytestmark = pytest.mark.django_db
RIGHT = "correct horse battery"


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password=RIGHT)


def sign_in(password: str, name: str = "ann", address: str = "192.0.2.1", url: str = "/login/"):
    return Client(REMOTE_ADDR=address).post(url, {"username": name, "password": password})


def fail_often(url: str = "/login/") -> list[int]:
    return [sign_in(f"wrong {number}", url=url).status_code for number in range(6)]


@pytest.mark.parametrize("password", ["31415926535", "short", "password123", "annanna-ann"])
def test_what_is_easily_guessed_is_no_password(password):
    with pytest.raises(ValidationError):
        validate_password(password, User(username="annanna-ann"))


@pytest.mark.parametrize("url", ["/login/", "/admin/login/"])
def test_after_five_wrong_passwords_none_is_taken_for_a_while(ann, url):
    assert fail_often(url) == [200, 200, 200, 200, 429, 429]
    refused = sign_in(RIGHT, url=url)
    assert refused.status_code == 429 and 0 < int(refused.headers["Retry-After"]) <= 900
    page = refused.content.decode()
    assert "Try again in 15 minutes" in " ".join(texts(page, "p")) and 'role="alert"' in page


def test_others_are_not_kept_out(ann):
    User.objects.create_user("bob", password=RIGHT)
    fail_often()
    assert sign_in(RIGHT, "bob").status_code == 302
    assert sign_in(RIGHT, address="192.0.2.2").status_code == 302


def test_another_header_or_browser_makes_no_other_client(ann):
    for number in range(5):
        client = Client(headers={"X-Forwarded-For": f"10.0.0.{number}", "User-Agent": f"browser {number}"})
        answer = client.post("/login/", {"username": "ann", "password": "wrong"})
    assert answer.status_code == 429


def test_time_ends_it_and_trying_on_does_not_lengthen_it(ann):
    fail_often()
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    assert sign_in("wrong").status_code == 429
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=1))
    assert sign_in(RIGHT).status_code == 302


def test_an_address_that_tries_many_names_is_locked_for_all_of_them(ann):
    assert [sign_in("wrong", f"name-{number}").status_code for number in range(50)] == [200] * 49 + [429]
    refused = sign_in(RIGHT)
    assert refused.status_code == 429 and 0 < int(refused.headers["Retry-After"]) <= 900
    assert sign_in(RIGHT, address="192.0.2.2").status_code == 302
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=15))
    assert sign_in(RIGHT).status_code == 302


def test_a_name_that_many_addresses_try_has_one_wrong_password_left_for_each(ann):
    for number in range(10):
        for _ in range(5):
            sign_in("wrong", address=f"198.51.100.{number}")
    assert sign_in(RIGHT, address="192.0.2.9").status_code == 302, "who has not failed is not locked out by others"
    for number in range(10):
        for _ in range(5):
            sign_in("wrong", address=f"198.51.101.{number}")
    assert sign_in("wrong", address="192.0.2.7").status_code == 429
    assert sign_in(RIGHT, address="192.0.2.7").status_code == 429


def test_who_signs_in_begins_anew(ann):
    for _ in range(3):
        assert [sign_in("wrong").status_code for _ in range(4)] == [200] * 4
        assert sign_in(RIGHT).status_code == 302


def test_who_runs_the_console_ends_it(ann):
    fail_often()
    call_command("axes_reset_username", "ann", stdout=StringIO())
    assert sign_in(RIGHT).status_code == 302


def test_no_password_is_kept(ann):
    fail_often()
    assert "wrong" not in str(list(AccessAttempt.objects.values()))


def test_signing_out_needs_a_form(client, ann):
    client.force_login(ann)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/instances/").status_code == 302


def change(client: Client, old: str = RIGHT, new: str = "staple of correct horses"):
    return client.post("/password/", {"old_password": old, "new_password1": new, "new_password2": new})


def test_everybody_changes_their_own_password_and_is_signed_out_elsewhere(ann):
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.force_login(ann)
    assert "/password/" in here.get("/preferences/").content.decode()
    answer = change(here)
    assert answer.status_code == 302
    assert "Your password is changed" in here.get(answer.headers["Location"]).content.decode()
    assert elsewhere.get("/preferences/").status_code == 302
    assert sign_in(RIGHT).status_code == 200 and sign_in("staple of correct horses").status_code == 302
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor_name, entry.object_repr) == ("ann", "ann") and "staple" not in str(entry.changes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("wrong", "staple of correct horses", "old password was entered incorrectly"), (RIGHT, "short", "too short")],
)
def test_a_password_that_cannot_be_is_refused_at_its_field(ann, old, new, said):
    client = Client()
    client.force_login(ann)
    answer = change(client, old, new)
    assert answer.status_code == 422 and said in answer.content.decode()
    assert sign_in(RIGHT).status_code == 302


def test_who_comes_by_single_sign_on_has_none_to_change(client):
    user = User.objects.create_user("carol")
    client.force_login(user)
    assert "kept, and changed, there" in client.get("/password/").content.decode()
    assert "/password/" not in client.get("/preferences/").content.decode()
    assert change(client).status_code == 200
    user.refresh_from_db()
    assert not user.has_usable_password()
