"""A console with two instances, at addresses where nothing listens."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from sync.models import Instance, SyncRule

NOBODY_LISTENS = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture
def console(db: None) -> Client:
    """A browser in which a platform administrator is signed in."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def source(db: None) -> Instance:
    return Instance.objects.create(name="prod-gz", region="ap-guangzhou", url=NOBODY_LISTENS)


@pytest.fixture
def target(db: None) -> Instance:
    return Instance.objects.create(name="prod-eu", region="Frankfurt", url=NOBODY_LISTENS)


@pytest.fixture
def rule(source: Instance, target: Instance) -> SyncRule:
    return SyncRule.objects.create(name="web", source=source, source_namespace="prod", target=target)
