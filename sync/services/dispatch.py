"""Handing what registries told to the rules that it concerns: many notifications become one task of a rule."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from sync.models import ACTING, Delivery, Notification, SyncRule, TagOrigin, Trigger
from sync.oci.reference import NAMESPACE_TOP, is_digest_tag, namespaces_of, subject_of
from sync.replication.spec import Spec
from sync.services.order import Places, TagKey, known_of, newest, note_pushes
from sync.services.spec import spec_of_rule
from sync.services.trigger import join_push, open_task
from sync.services.turn import never

AT_ONCE = 1000
log = logging.getLogger(__name__)


def dispatch(leaving: Callable[[], bool] = never) -> int:
    """Handles what waits, oldest first; as often and by as many as may be. Returns how many notifications that were."""
    handled = 0
    while not leaving():
        count = _dispatch_some()
        handled += count
        if count < AT_ONCE:
            break
    return handled


def _dispatch_some() -> int:
    with transaction.atomic():
        waiting = Notification.objects.filter(handled_at=None).order_by("pk")
        batch = list(waiting.select_for_update(skip_locked=True)[:AT_ONCE])
        if not batch:
            return 0
        note_pushes(batch)
        told_on = _told_on([one for one in batch if one.echo])
        by_instance: defaultdict[int, list[Notification]] = defaultdict(list)
        for one in batch:
            if one.pk not in told_on:
                by_instance[one.instance_id].append(one)
        # Of very many rules only those of these namespaces are looked at; they are locked in one order.
        namespaces = {NAMESPACE_TOP, *namespaces_of(one.repository for one in batch)}
        concerned = SyncRule.objects.filter(source__in=by_instance, source_namespace__in=namespaces, **ACTING)
        rules = concerned.order_by("pk")
        for rule in rules:
            _hand_over_guarded(rule, by_instance[rule.source_id])
        now = timezone.now()
        Notification.objects.filter(pk__in=[one.pk for one in batch]).update(handled_at=now)
        Notification.objects.filter(pk__in=[one.pk for one in batch if one.echo]).update(echo=True)
    return len(batch)


def _told_on(echoes: Sequence[Notification]) -> set[int]:
    """Those of which we told the rules ourselves when it was written down; of others nobody did, as the worker died."""
    own = Notification.objects.filter(own=True, digest__in={one.digest for one in echoes})
    known = set(own.values_list("instance_id", "repository", "tag", "digest"))
    return {one.pk for one in echoes if (one.instance_id, one.repository, one.tag, one.digest) in known}


def _hand_over_guarded(rule: SyncRule, told: Sequence[Notification]) -> None:
    """A fault over one rule takes nothing from the others."""
    try:
        with transaction.atomic():
            _hand_over(rule, told)
    except (DatabaseError, InterfaceError):
        raise
    except SyncRule.DoesNotExist:
        return  # deleted, or switched off, a moment ago
    except Exception:
        log.exception("rule %s looks at everything, as %d notifications could not be handed to it", rule, len(told))
        open_task(rule, Trigger.PUSH, quick=True)


def _hand_over(rule: SyncRule, told: Sequence[Notification]) -> None:
    # As it is until its task is opened.
    rule = SyncRule.objects.select_for_update(no_key=True).get(pk=rule.pk, **ACTING)
    matching = _Matching(rule, told)
    pushed: dict[tuple[str, str], float] = {}
    for one in told:
        for tag in matching.tags(one):
            pair = one.repository, tag
            pushed[pair] = min(one.received_at.timestamp(), pushed.get(pair, float("inf")))
    if pushed:
        join_push(rule, pushed)


class _Matching:
    """What of notifications of its source a rule is to look at."""

    def __init__(self, rule: SyncRule, told: Iterable[Notification]) -> None:
        self._rule = rule
        self._spec: Spec = spec_of_rule(rule)
        selected = [one for one in told if self._spec.selects(one.repository)]
        self._there: Places = known_of({self._arrival(one) for one in selected if one.own or one.echo}).places

    def tags(self, one: Notification) -> Iterator[str]:
        """Those of its repository that may have changed for the rule; a blank one stands for all."""
        if not self._spec.selects(one.repository):
            return
        if one.action == Notification.Action.DELETE:
            yield from self._deleted(one)
        elif one.tag and is_digest_tag(one.tag):
            yield from self._described(one) if self._spec.with_referrers else ()
        elif one.tag and self._spec.tags.matches(one.tag) and not self._has_come_back(one):
            yield one.tag

    def _has_come_back(self, one: Notification) -> bool:
        """What a copy of ours brought here is where it would be brought to: there it came from, or it is there too."""
        there = newest(self._there, self._arrival(one)) if one.own or one.echo else None
        return there is not None and there.digest == one.digest

    def _arrival(self, one: Notification) -> TagKey:
        return TagKey(self._rule.target_id, self._spec.target_repository(one.repository), one.tag)

    def _described(self, one: Notification) -> Iterator[str]:
        """A signature, SBOM or attestation came: it travels with the tags of what it describes."""
        subject = subject_of(one.tag)
        pushed = TagOrigin.objects.filter(instance=one.instance_id, repository=one.repository, digest=subject)
        tags = {*pushed.values_list("tag", flat=True), *self._delivered(one.repository, digest=subject)}
        # Of what is not known by its digest, as what lies below an index, any of those that were brought may be meant.
        known = tags or self._delivered(one.repository)
        yield from sorted(tag for tag in known if self._spec.tags.matches(tag) and not is_digest_tag(tag))

    def _deleted(self, one: Notification) -> Iterator[str]:
        """Registries tell the tag, or the digest of which all tags are gone."""
        if not self._rule.delete_removed:
            return
        tags = [one.tag] if one.tag else self._delivered(one.repository, digest=one.digest) if one.digest else []
        yield from (tag for tag in tags if self._spec.tags.matches(tag))

    def _delivered(self, repository: str, **narrowed: str) -> list[str]:
        rule, name = self._rule, self._spec.target_repository(repository)
        found = Delivery.objects.filter(rule=rule, target=rule.target_id, repository=name, **narrowed)
        return list(found.values_list("tag", flat=True))
