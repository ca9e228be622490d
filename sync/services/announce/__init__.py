"""Telling others when a task ends: a rule's outgoing webhook."""

from sync.services.announce.deliveries import deliver, enqueue_due, send_again, send_test, task_ended
from sync.services.announce.sending import Outcome

__all__ = ["Outcome", "deliver", "enqueue_due", "send_again", "send_test", "task_ended"]
