"""Instances and rules to a file: sorted, the same text for the same state, without secrets."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from django.contrib.auth.models import User

from sync.models import Instance, SyncRule
from sync.services.grants import Right, instances_with, is_platform_administrator
from sync.services.rulefile.format import INSTANCE_FIELDS, RULE_FIELDS, Field
from sync.services.rulefile.rights import Rights

HEADER = """\
# Instances and rules, as written by "manage.py dump_rules", for "manage.py load_rules FILE".
# What is left out has its default. Passwords, API keys and secrets of webhooks are not in here: load_rules takes them
# from the environment variables that password_env, api_key_env and secret_env name; where one is not set, what is
# stored stays.
"""
PART = """\
# This is a part: rules from {}, and the instances that they name.
# With --prune, everything else would be deleted.
"""
OF_USER = """\
# This is what {} may configure.
"""


class UnknownInstance(Exception):
    """The message names it, in a sentence."""


def dump_rules(names: Sequence[str] = (), user: User | None = None) -> str:
    """All instances and rules, or the rules whose source is one of the named instances and every instance these name.

    user: what they may configure, the rules of some instances and others as a whole; the rest is left out. Raises
    UnknownInstance, also for what the user does not see, and Refused for what they see and may not configure.
    """
    if user is not None and not is_platform_administrator(user):
        return _dump_for(user, names)
    stored = Instance.objects.filter(name__in=names) if names else Instance.objects.all()
    instances = {instance.name: instance for instance in stored}
    for name in names:
        if name not in instances:
            raise UnknownInstance(f"There is no instance “{name}”.")
    # Through the rules, so that the file names no instance that it does not hold, whatever is saved meanwhile.
    known = SyncRule.objects.select_related("source", "target")
    rules = sorted(
        known.filter(source__name__in=names) if names else known, key=lambda rule: (rule.source.name, rule.name)
    )
    instances |= {instance.name: instance for rule in rules for instance in (rule.source, rule.target)}
    entries = [_entry(instances[name], INSTANCE_FIELDS) for name in sorted(instances)]
    header = HEADER + (PART.format(", ".join(sorted(set(names)))) if names else "")
    return _file(header, entries, rules)


def _dump_for(user: User, names: Sequence[str]) -> str:
    seen, rights = instances_with(user, Right.VIEW), Rights(user)
    for name in names:
        if not seen.filter(name=name).exists():
            raise UnknownInstance(f"There is no instance “{name}”.")
        rights.may_have_rules(name)
    sources = instances_with(user, Right.MANAGE_RULES)
    rules = SyncRule.objects.select_related("source", "target").filter(source__in=sources)
    instances = instances_with(user, Right.ADMINISTER).order_by("name")
    if names:
        rules = rules.filter(source__name__in=names)
        named = {name for rule in rules for name in (rule.source.name, rule.target.name)}
        instances = instances.filter(name__in=named | set(names))
    entries = [_entry(instance, INSTANCE_FIELDS) for instance in instances]
    return _file(HEADER + OF_USER.format(user), entries, rules.order_by("source__name", "name"))


def _file(header: str, instances: Sequence[dict[str, Any]], rules: Iterable[SyncRule]) -> str:
    entries = [_entry(rule, RULE_FIELDS) for rule in rules]
    return f"{header}{_listed('instances', instances)}\n{_listed('rules', entries)}"


def _entry(thing: Instance | SyncRule, fields: Sequence[Field]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for field in fields:
        value = field.read(thing)
        if value != field.default(type(thing)):
            *parts, word = field.key.split(".")
            inside = entry.setdefault(parts[0], {}) if parts else entry
            inside[word] = value
    return entry


def _listed(key: str, entries: Sequence[dict[str, Any]]) -> str:
    """A list under its key, with a blank line between entries."""
    if not entries:
        return f"{key}: []\n"
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": float("inf")}
    return f"{key}:\n" + "\n".join(yaml.dump([entry], Dumper=_Dumper, **options) for entry in entries)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as block literals, words of a list on one line, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    words = all(isinstance(item, str) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=words)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
