"""Whether the sides of a rule can hold what it copies: by their kinds, and by asking a target that may take nothing."""

from collections.abc import Sequence

from django.core.cache import cache

from sync.credentials import CredentialKeyMissing
from sync.models import Instance, SyncRule
from sync.oci.errors import OciError
from sync.registries import KINDS, Registry
from sync.services.connect import impatient, reached_by

WORDS = {"image": "container images", "chart": "Helm charts", "other": "other artifacts"}
CACHED_SECONDS = 60


def type_fault(rule: SyncRule) -> str:
    """Why what the rule chooses cannot come from its source, or go to its target, by their kinds; blank when it can.

    A type that is chosen and that the source never has does no harm beside one that it has.
    """
    held, taken = KINDS[rule.source.kind].types, KINDS[rule.target.kind].types
    coming = [one for one in rule.resources if one in held]
    if rule.resources and not coming:
        return f"{rule.source} holds {_named(held)} only: nothing of what is chosen would be copied."
    if refused := [one for one in coming if one not in taken]:
        return f"{rule.target} takes {_named(taken)} only: leave out {_named(refused)}, or choose another target."
    return ""


def refusal_of_type(target: Instance, type_: str) -> str:
    """Why a target never takes resources of a type, in a sentence; blank when it may."""
    taken = KINDS[target.kind].types
    return "" if type_ in taken else f"{target.name} takes {_named(taken)} only."


def _named(types: Sequence[str]) -> str:
    return " and ".join(WORDS[one] for one in types)


def target_fault(rule: SyncRule) -> str:
    """Why nothing can be written to the rule's target, whatever it is; blank when something may be, or nobody knows.

    Only kinds that may be unable to take anything are asked, once a minute.
    """
    target, namespace = rule.target, rule.resulting_namespace
    if KINDS[target.kind].unwritable is Registry.unwritable:
        return ""
    key = f"unwritable:{target.pk}:{reached_by(target)}:{namespace}"
    known: str | None = cache.get(key)
    if known is None:
        known = _ask(target, namespace)
        cache.set(key, known, CACHED_SECONDS)
    return known


def _ask(target: Instance, namespace: str) -> str:
    try:
        with impatient(target) as registry:
            return registry.unwritable(namespace)
    except (OciError, CredentialKeyMissing):
        return ""  # A rule may be written while its target is away.
