"""The nouns."""

from sync.models.delivery import Delivery
from sync.models.instance import Instance
from sync.models.notification import Notification
from sync.models.preference import Preference
from sync.models.rule import SyncRule
from sync.models.task import OPEN, Counts, LogLine, Status, SyncTask, TaskPart, TaskRepository, TaskResource, Trigger

__all__ = [
    "OPEN",
    "Counts",
    "Delivery",
    "Instance",
    "LogLine",
    "Notification",
    "Preference",
    "Status",
    "SyncRule",
    "SyncTask",
    "TaskPart",
    "TaskRepository",
    "TaskResource",
    "Trigger",
]
