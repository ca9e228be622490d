"""The nouns."""

from sync.models.announcement import Announcement
from sync.models.audit import AuditEntry, Verb
from sync.models.delivery import Delivery
from sync.models.identity import Identity
from sync.models.instance import Instance
from sync.models.lag import Lag
from sync.models.notification import Notification
from sync.models.origin import TagLock, TagOrigin
from sync.models.preference import Preference
from sync.models.region import RegionPair
from sync.models.rule import ACTING, SyncRule
from sync.models.tally import ErrorTally, TaskTally
from sync.models.task import (
    OPEN,
    Counts,
    LogLine,
    Removal,
    Status,
    SyncTask,
    TaskPart,
    TaskRepository,
    TaskResource,
    Trigger,
)
from sync.models.token import ApiToken

__all__ = [
    "ACTING",
    "OPEN",
    "Announcement",
    "ApiToken",
    "AuditEntry",
    "Counts",
    "Delivery",
    "ErrorTally",
    "Identity",
    "Instance",
    "Lag",
    "LogLine",
    "Notification",
    "Preference",
    "RegionPair",
    "Removal",
    "Status",
    "SyncRule",
    "SyncTask",
    "TagLock",
    "TagOrigin",
    "TaskPart",
    "TaskRepository",
    "TaskResource",
    "TaskTally",
    "Trigger",
    "Verb",
]
