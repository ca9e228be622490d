"""What is kept of pushes for a while only, and forgotten in small pieces."""

from datetime import timedelta

from django.utils import timezone

from sync.models import Notification, TagOrigin

NOTIFICATIONS_KEPT = timedelta(days=30)
ORIGINS_KEPT = timedelta(days=90)
AT_ONCE = 2000


def forget() -> None:
    """May be called as often as one likes: with nothing to forget it costs two looks into an index."""
    now = timezone.now()
    oldest = Notification.objects.order_by("pk").values_list("received_at", flat=True).first()
    if oldest is not None and oldest < now - NOTIFICATIONS_KEPT:
        first = Notification.objects.order_by("pk").values_list("pk", "received_at", "handled_at")[:AT_ONCE]
        gone = [pk for pk, at, handled_at in first if handled_at is not None and at < now - NOTIFICATIONS_KEPT]
        Notification.objects.filter(pk__in=gone).delete()
    old = TagOrigin.objects.filter(at__lt=now - ORIGINS_KEPT).order_by("at").values_list("pk", flat=True)[:AT_ONCE]
    TagOrigin.objects.filter(pk__in=list(old)).delete()
