"""Instances and rules from a YAML file: idempotent, all or nothing, every fault with its line."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import transaction

from sync.credentials import CredentialKeyMissing
from sync.models import Instance, SyncRule


class RuleFileError(Exception):
    """The file was refused; `faults` are sentences that begin with the line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass
class Report:
    """Names of what was created and changed, and how many were as the file says already."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0


INSTANCE_KEYS = {
    "name": str,
    "region": str,
    "url": str,
    "kind": str,
    "username": str,
    "password_env": str,
    "password_file": str,
    "ca_certificate": str,
    "proxy": str,
    "allow_plain_http": bool,
    "connect_timeout": int,
    "read_timeout": int,
    "max_connections": int,
}
SOURCE_KEYS = {
    "instance": str,
    "namespace": str,
    "repositories": str,
    "exclude_repositories": str,
    "tags": str,
    "exclude_tags": str,
}
TARGET_KEYS = {"instance": str, "namespace": str}
RULE_KEYS = {
    "name": str,
    "description": str,
    "source": dict,
    "resources": list,
    "with_referrers": bool,
    "target": dict,
    "overwrite": bool,
    "enabled": bool,
}
RESOURCES = {"image": "images", "chart": "charts", "other": "others"}
# Where the file's words differ from the model's fields.
FIELD_KEYS = {
    "source_namespace": "namespace",
    "target_namespace": "namespace",
    "images": "resources",
    "source": "instance",
}
KIND_NAMES = {
    str: "text (put it in quotes)",
    bool: "true or false",
    int: "a whole number",
    dict: "a mapping",
    list: "a list",
}


@dataclass(frozen=True)
class _Entry:
    """A mapping of the file: values by key, and the line of each."""

    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    def line_of(self, key: str) -> int:
        return self.lines.get(key, self.line)


def load_rules(text: str) -> Report:
    """Brings instances and rules to what the file says. Raises RuleFileError; then nothing was changed."""
    loading = _Loading()
    root = loading.read(text)
    with transaction.atomic():
        for entry in root.get("instances", []):
            loading.guard(loading.load_instance, entry)
        for entry in root.get("rules", []):
            loading.guard(loading.load_rule, entry)
        if loading.faults:
            raise RuleFileError(loading.faults)
    return loading.report


class _Fault(Exception):
    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")


class _Loading:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.report = Report()
        # Instances of the file by name, and whether they are sound; rules of the file by source and name.
        self._sound: dict[str, bool] = {}
        self._rules: set[tuple[str, str]] = set()
        self._unreadable: set[str] = set()

    def read(self, text: str) -> dict[str, list[_Entry]]:
        try:
            node = yaml.compose(text, yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            raise RuleFileError([f"line {line}: not YAML: {getattr(error, 'problem', error)}"]) from None
        if node is None:
            return {}
        try:
            root = _mapping(node, {"instances": list, "rules": list})
        except _Fault as fault:
            raise RuleFileError([str(fault)]) from None
        parts = (("instances", INSTANCE_KEYS), ("rules", RULE_KEYS))
        return {part: list(self._entries(root.values.get(part, []), keys)) for part, keys in parts}

    def _entries(self, nodes: list[yaml.Node], keys: Mapping[str, type]) -> Iterator[_Entry]:
        """The entries that can be read; the first fault of each of the others is noted."""
        for node in nodes:
            try:
                yield _mapping(node, keys)
            except _Fault as fault:
                self.faults.append(str(fault))
                self._unreadable |= {str(value.value) for key, value in _pairs(node) if key == "name"}

    def guard(self, load: Callable[[_Entry], None], entry: _Entry) -> None:
        """Goes on after a fault, so that one run names them all."""
        try:
            load(entry)
        except _Fault as fault:
            self.faults.append(str(fault))

    def load_instance(self, entry: _Entry) -> None:
        name = _required(entry, "name")
        if name in self._sound:
            raise _Fault(entry.line_of("name"), f"there is an instance “{name}” further up")
        self._sound[name] = False
        instance = Instance.objects.filter(name=name).first() or Instance(name=name)
        _assign(instance, {key: value for key, value in entry.values.items() if not key.startswith("password_")})
        secret = _secret(entry)
        if secret is not None and not _has_password(instance, secret):
            instance.password = secret
        self._sound[name] = self._save(instance, entry, {})

    def load_rule(self, entry: _Entry) -> None:
        source = _mapping(_required(entry, "source"), SOURCE_KEYS)
        target = _mapping(_required(entry, "target"), TARGET_KEYS)
        if not all(self._may_be_used(part.values.get("instance", "")) for part in (source, target)):
            return  # What is wrong with the instance is told already.
        name, instance = _required(entry, "name"), _instance(source)
        if (instance.name, name) in self._rules:
            raise _Fault(entry.line_of("name"), f"there is a rule “{instance.name}/{name}” further up")
        self._rules.add((instance.name, name))
        rule = SyncRule.objects.filter(source=instance, name=name).first() or SyncRule(source=instance, name=name)
        own_words = ("source", "target", "resources", "instance", "namespace")
        _assign(rule, {key: value for key, value in (entry.values | source.values).items() if key not in own_words})
        rule.source_namespace = source.values.get("namespace", "")
        rule.target = _instance(target)
        rule.target_namespace = target.values.get("namespace", "")
        _assign(rule, _types(entry))
        self._save(
            rule, entry, {**dict.fromkeys(SOURCE_KEYS, source), "source_namespace": source, "target_namespace": target}
        )

    def _may_be_used(self, instance: str) -> bool:
        return self._sound.get(instance, instance not in self._unreadable)

    def _save(self, thing: Instance | SyncRule, entry: _Entry, parts: Mapping[str, _Entry]) -> bool:
        """Whether it is sound. `parts` tells which mapping of the entry a field stands in, for the line of a fault."""
        try:
            thing.full_clean()
        except ValidationError as error:
            for name, sentences in error.message_dict.items():
                key = FIELD_KEYS.get(name, name)
                line = parts.get(name, entry).line_of(key)
                self.faults += [f"line {line}: {key}: {sentence}" for sentence in sentences]
            return False
        if thing.pk is None:
            self.report.created.append(str(thing))
        elif _differs_from_stored(thing):
            self.report.changed.append(str(thing))
        else:
            self.report.unchanged += 1
            return True
        thing.save()
        return True


def _pairs(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    return [(str(key.value), value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _mapping(node: yaml.Node, keys: Mapping[str, type]) -> _Entry:
    """Reads one mapping; nested mappings and items of lists stay nodes, so that they keep their lines."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise _Fault(line, f"expected a mapping with {', '.join(keys)}")
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, key_line = str(key_node.value), key_node.start_mark.line + 1
        if key not in keys:
            raise _Fault(key_line, f"“{key}” is not known here; known are {', '.join(keys)}")
        if key in values:
            raise _Fault(key_line, f"“{key}” stands here twice")
        values[key], lines[key] = _value(key, value_node, keys[key]), key_line
    return _Entry(line, values, lines)


def _value(key: str, node: yaml.Node, kind: type) -> Any:
    line = node.start_mark.line + 1
    if kind is dict:
        return node
    if kind is list and isinstance(node, yaml.SequenceNode):
        return node.value
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else node
    except (yaml.YAMLError, ValueError, LookupError, AttributeError):
        # What PyYAML raises for `!!bool maybe` and `!!timestamp soon` is not its own error.
        raise _Fault(line, f"“{key}” must be {KIND_NAMES[kind]}") from None
    if value is None and kind is str:
        return ""
    if type(value) is not kind:
        raise _Fault(line, f"“{key}” must be {KIND_NAMES[kind]}")
    return value


def _required(entry: _Entry, key: str) -> Any:
    if not entry.values.get(key):
        raise _Fault(entry.line, f"“{key}” is missing")
    return entry.values[key]


def _assign(thing: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(thing, name, value)


def _differs_from_stored(thing: Any) -> bool:
    stored = type(thing).objects.filter(pk=thing.pk).values().get()
    kept = (name for name in stored if name != "updated_at")
    return any(stored[name] != getattr(thing, name) for name in kept)


def _has_password(instance: Instance, secret: str) -> bool:
    try:
        return instance.password == secret
    except CredentialKeyMissing:
        return False


def _secret(entry: _Entry) -> str | None:
    """The password by its reference; None when the file says nothing of one."""
    if "password_env" in entry.values and "password_file" in entry.values:
        raise _Fault(entry.line_of("password_file"), "give password_env or password_file, not both")
    if "password_env" in entry.values:
        name = entry.values["password_env"]
        if name not in os.environ:
            raise _Fault(entry.line_of("password_env"), f"the environment has no variable {name}")
        return os.environ[name]
    if "password_file" in entry.values:
        path = Path(entry.values["password_file"])
        try:
            return path.read_text().rstrip("\n")
        except OSError as error:
            raise _Fault(entry.line_of("password_file"), f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _Fault(entry.line_of("password_file"), f"{path} is not text") from None
    return None


def _instance(part: _Entry) -> Instance:
    name = _required(part, "instance")
    instance = Instance.objects.filter(name=name).first()
    if instance is None:
        raise _Fault(part.line_of("instance"), f"there is no instance “{name}”, neither in the file nor in the console")
    return instance


def _types(entry: _Entry) -> dict[str, bool]:
    if "resources" not in entry.values:
        return {}
    words = [str(node.value) for node in entry.values["resources"]]
    unknown = [word for word in words if word not in RESOURCES]
    if unknown:
        raise _Fault(
            entry.line_of("resources"), f"“{unknown[0]}” is no type of resource; there are {', '.join(RESOURCES)}"
        )
    return {model_field: word in words for word, model_field in RESOURCES.items()}
