"""What is kept of pushes for a while only."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.models import Notification, TagOrigin
from sync.services.forgetting import NOTIFICATIONS_KEPT, ORIGINS_KEPT, forget

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def told(instance, ago, *, handled=True):
    at = timezone.now() - ago
    return Notification.objects.create(
        instance=instance, repository="a/b", tag="v1", received_at=at, handled_at=at if handled else None
    )


def test_old_notifications_go_and_those_that_nobody_handled_stay(guangzhou):
    told(guangzhou, NOTIFICATIONS_KEPT + MINUTE)
    kept = [told(guangzhou, NOTIFICATIONS_KEPT + MINUTE, handled=False), told(guangzhou, NOTIFICATIONS_KEPT - MINUTE)]
    forget()
    assert list(Notification.objects.order_by("pk")) == kept


def test_old_origins_go(guangzhou):
    for digest, ago in (("old", ORIGINS_KEPT + MINUTE), ("new", ORIGINS_KEPT - MINUTE)):
        TagOrigin.objects.create(instance=guangzhou, repository="a/b", tag="v1", digest=digest, at=timezone.now() - ago)
    forget()
    assert [row.digest for row in TagOrigin.objects.all()] == ["new"]
