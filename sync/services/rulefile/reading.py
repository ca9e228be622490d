"""From YAML text to entries whose values have the right types and know their lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import yaml

from sync.services.rulefile.format import INSTANCE_FIELDS, RULE_FIELDS, Field

KIND_NAMES = {
    str: "text (put it in quotes)",
    bool: "true or false",
    int: "a whole number",
    dict: "a mapping",
    list: "a list",
    date: "a date like 2027-01-31",
}


class Fault(Exception):
    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")
        self.line = line


class RuleFileError(Exception):
    """The file was refused; `faults` are sentences that begin with the line, in the order of lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = [str(fault) for fault in sorted(faults, key=lambda fault: fault.line)]
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True)
class Entry:
    """A mapping of the file: values by key, and the line of each. Keys of inner mappings follow a dot."""

    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    def line_of(self, key: str) -> int:
        return self.lines.get(key) or self.lines.get(key.partition(".")[0], self.line)

    def required(self, key: str) -> Any:
        """Raises Fault."""
        if not self.values.get(key):
            raise Fault(self.line_of(key), f"“{key}” is missing")
        return self.values[key]


@dataclass
class Document:
    """What could be read, and the first fault of each entry that could not."""

    root: Entry
    instances: list[Entry] = field(default_factory=list)
    rules: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unreadable_instances: set[str] = field(default_factory=set)


def read(text: str) -> Document:
    """Raises RuleFileError where not even the two lists can be found."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return Document(Entry(1, {}, {}))
        document = Document(_mapping(node, {"instances": list, "rules": list}))
    except Fault as fault:
        raise RuleFileError([fault]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RuleFileError([Fault(line, f"not YAML: {getattr(error, 'problem', error)}")]) from None
    nodes = document.root.values.get("instances", [])
    document.instances = list(_entries(nodes, INSTANCE_FIELDS, document.faults))
    document.unreadable_instances = _names(nodes) - {entry.values.get("name", "") for entry in document.instances}
    document.rules = list(_entries(document.root.values.get("rules", []), RULE_FIELDS, document.faults))
    return document


def _entries(nodes: Sequence[yaml.Node], fields: Sequence[Field], faults: list[Fault]) -> Iterator[Entry]:
    for node in nodes:
        try:
            yield _entry(node, fields)
        except Fault as fault:
            faults.append(fault)


def _names(nodes: Sequence[yaml.Node]) -> set[str]:
    mappings = (node for node in nodes if isinstance(node, yaml.MappingNode))
    return {str(value.value) for node in mappings for key, value in node.value if key.value == "name"}


def _entry(node: yaml.Node, fields: Sequence[Field]) -> Entry:
    kinds: dict[str, Any] = {}
    for known in fields:
        part, _, key = known.key.rpartition(".")
        (kinds.setdefault(part, {}) if part else kinds)[key] = known.kind
    entry = _mapping(node, {key: dict if isinstance(kind, dict) else kind for key, kind in kinds.items()})
    for key, value in list(entry.values.items()):
        if isinstance(value, list):
            entry.values[key] = [_value(key, item, str) for item in value]
        elif isinstance(value, yaml.Node):
            inside = _mapping(entry.values.pop(key), kinds[key])
            entry.values.update({f"{key}.{word}": value for word, value in inside.values.items()})
            entry.lines.update({f"{key}.{word}": line for word, line in inside.lines.items()})
    return entry


def _mapping(node: yaml.Node, kinds: Mapping[str, type]) -> Entry:
    """Reads one mapping; nested mappings and items of lists stay nodes, so that they keep their lines."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise Fault(line, f"expected a mapping with {', '.join(kinds)}")
    entry = Entry(line, {}, {})
    for key_node, value_node in node.value:
        key, key_line = str(key_node.value), key_node.start_mark.line + 1
        if key not in kinds:
            raise Fault(key_line, f"“{key}” is not known here; known are {', '.join(kinds)}")
        if key in entry.values:
            raise Fault(key_line, f"“{key}” stands here twice")
        entry.values[key], entry.lines[key] = _value(key, value_node, kinds[key]), key_line
    return entry


def _value(key: str, node: yaml.Node, kind: type) -> Any:
    if kind is dict:
        return node
    if kind is list and isinstance(node, yaml.SequenceNode):
        return node.value
    fault = Fault(node.start_mark.line + 1, f"“{key}” must be {KIND_NAMES[kind]}")
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True) if isinstance(node, yaml.ScalarNode) else node
    except (yaml.YAMLError, ValueError, LookupError, AttributeError):
        # What PyYAML raises for `!!bool maybe` and `!!timestamp soon` is not its own error.
        raise fault from None
    if value is None and kind is str:
        return ""
    if kind is date and isinstance(value, str):
        value = _date(value)
    if type(value) is not kind:
        raise fault
    return value


def _date(text: str) -> date | None:
    """Of a date in quotes, as JSON has it; None of anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
