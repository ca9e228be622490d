"""Addresses in networks of one's own: entered by platform administrators, for others as the setting says."""

import socket

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import Instance
from sync.oci.errors import AddressRefused
from sync.services import grants
from sync.services.connect import endpoint_of, open_registry
from sync.services.grants import Right
from tests.pages.html import by_id, words

VALUES = {
    "kind": "registry",
    "name": "prod-gz",
    "region": "ap-guangzhou",
    "url": "http://127.0.0.1:1",
    "connect_timeout": "5",
    "read_timeout": "5",
    "max_connections": "4",
}
TCR = {"kind": "tcr", "api_key_id": "AKID", "api_key": "key", "api_region": "ap-guangzhou", "registry_id": "tcr-1"}
URL = "/instances/prod-gz/edit/"


@pytest.fixture
def admin(source) -> Client:
    """Of the one instance."""
    ann = User.objects.create_user("ann")
    grants.grant(Right.ADMINISTER, ann, source)
    client = Client()
    client.force_login(ann)
    return client


@pytest.fixture
def leads_to(monkeypatch):
    """leads_to(address): where every name leads from now on."""
    real = socket.getaddrinfo

    def lead(address: str) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: real(address, *rest, **options))

    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return lead


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://10.0.0.7"),
        ("url", "https://inside.example"),
        ("proxy", "http://inside.example:3128"),
        ("api_address", "inside.example"),
    ],
)
def test_the_admin_of_one_instance_enters_none(admin, source, leads_to, field, value):
    leads_to("10.0.0.7")
    answer = admin.post(URL, VALUES | (TCR if field == "api_address" else {}) | {field: value})
    told = words(by_id(answer.content.decode(), f"id_{field}_error"))
    assert told == "This address is private: a platform administrator has to enter it."
    source.refresh_from_db()
    assert source.private_addresses


@pytest.mark.parametrize(
    "address", ["https://169.254.169.254", "https://metadata.google.internal", "https://[::ffff:a9fe:1]"]
)
def test_where_clouds_keep_credentials_nobody_enters_one(console, admin, address):
    for who in (console, admin):
        answer = who.post(URL, VALUES | {"url": address})
        assert "which is never allowed" in words(by_id(answer.content.decode(), "id_url_error"))


def test_a_name_that_leads_inside_only_later_gains_nothing(admin, source, leads_to, settings):
    leads_to("93.184.215.14")
    assert admin.post(URL, VALUES | {"url": "https://rebound.example"}).status_code == 302
    leads_to("127.0.0.1")
    source.refresh_from_db()
    with pytest.raises(AddressRefused, match=r"leads to 127.0.0.1, which is private"):
        open_registry(source, "source").client.ping()
    settings.INSTANCE_PRIVATE_ADDRESSES = True
    assert endpoint_of(source).private_addresses


def test_who_changes_something_else_takes_nothing_away(admin, source):
    assert admin.post(URL, VALUES | {"region": "elsewhere"}).status_code == 302
    source.refresh_from_db()
    assert source.private_addresses and source.region == "elsewhere"


def test_a_platform_administrator_who_saves_it_allows_them(console, admin, source):
    Instance.objects.update(private_addresses=False)
    assert console.post(URL, VALUES).status_code == 302
    source.refresh_from_db()
    assert source.private_addresses


def test_the_setting_allows_them(admin, source, settings):
    settings.INSTANCE_PRIVATE_ADDRESSES = True
    assert admin.post(URL, VALUES | {"url": "https://10.0.0.7"}).status_code == 302
    source.refresh_from_db()
    assert not source.private_addresses and endpoint_of(source).private_addresses
