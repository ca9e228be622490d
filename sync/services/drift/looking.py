"""What the two sides of one tag hold, and what that comes to."""

from dataclasses import dataclass
from functools import partial

from sync.oci.client import Client
from sync.oci.errors import Cancelled, OciError
from sync.replication.plan import Action, Kinds, judge, taking_names
from sync.replication.spec import Spec
from sync.services.drift.findings import What

FINDINGS = {Action.COPY: What.MISSING, Action.OVERWRITE: What.OVERWRITE, Action.CONFLICT: What.CONFLICT}


@dataclass(frozen=True)
class Item:
    """A tag to compare. Without a tag: the end of its repository, with what could not be listed of it."""

    repository: str
    tag: str = ""
    ours: bool = True
    theirs: bool = True
    error: OciError | None = None


@dataclass(frozen=True)
class Outcome:
    """action: seen from the source, or from the target for what the source does not have. None: there is an error."""

    item: Item
    action: Action | None = None
    digest: str = ""
    target_digest: str = ""
    error: OciError | None = None


class Looker:
    """Asks both sides for one tag. Safe for many threads."""

    def __init__(self, source: Client, target: Client, spec: Spec) -> None:
        self._source, self._target, self._spec = source, target, spec
        self._kinds, self._kinds_there = (Kinds(client, spec.kinds) for client in (source, target))

    def look(self, item: Item) -> Outcome:
        """Raises Cancelled."""
        if not item.tag:
            return Outcome(item, error=item.error)
        there = self._spec.target_repository(item.repository)
        try:
            with taking_names(f"compare {item.repository}:{item.tag}"):
                held = digest_at(self._source, item.repository, item.tag) if item.ours else ""
                theirs = self._theirs(item, there, held) if item.theirs else ""
                return Outcome(item, self._judge(item, there, held, theirs), held, theirs)
        except Cancelled:
            raise
        except OciError as error:
            return Outcome(item, error=error)

    def _theirs(self, item: Item, there: str, held: str) -> str:
        if not held:
            return digest_at(self._target, there, item.tag)
        read = partial(self._source.get_manifest, item.repository, held)
        return self._target.look_beside(there, item.tag, held, read)

    def _judge(self, item: Item, there: str, held: str, theirs: str) -> Action:
        """What differs is looked at once more: types that the rule leaves out are none of its business."""
        if not item.ours:
            kind = self._kinds_there.look_up(there, theirs) if theirs else None
            return judge(self._spec, item.tag, theirs, "", kind).action
        action = judge(self._spec, item.tag, held, theirs).action
        if action not in FINDINGS:
            return action
        return judge(self._spec, item.tag, held, theirs, self._kinds.look_up(item.repository, held)).action


def digest_at(client: Client, repository: str, tag: str) -> str:
    """Blank where there is no such tag. Raises OciError."""
    held = client.head_manifest(repository, tag)
    return held.digest if held else ""
