"""Instances and rules from a file: idempotent, all or nothing, every fault with its line."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from sync.credentials import CredentialKeyMissing
from sync.models import Instance, SyncRule
from sync.services import circles, configure, fitting
from sync.services.rulefile.format import INSTANCE_FIELDS, RULE_FIELDS, Field, Refused
from sync.services.rulefile.reading import Document, Entry, Fault, RuleFileError, read
from sync.services.rulefile.report import Change, Report, difference
from sync.services.rulefile.rights import Rights


def load_rules(text: str, *, prune: bool = False, dry_run: bool = False, user: User | None = None) -> Report:
    """Brings instances and rules to what the file says; with `prune` those that it does not name are deleted.

    user: with whose rights, on which its rules stand then; without one, the platform's. `dry_run` reports the same and
    changes nothing. Raises RuleFileError; then nothing was changed either.
    """
    loading = _Loading(read(text), user)
    with transaction.atomic():
        loading.load()
        if prune:
            loading.prune()
        if loading.faults:
            raise RuleFileError(loading.faults)
        loading.look_for_circles()
        if dry_run:
            transaction.set_rollback(True)
    return loading.report


class _Loading:
    def __init__(self, document: Document, user: User | None) -> None:
        self.faults = document.faults
        self._user, self._rights = user, Rights(user)
        self.report = Report()
        self._document = document
        # Instances of the file by name, and whether they are sound; rules of the file by source and name.
        self._sound = dict.fromkeys(document.unreadable_instances, False)
        self._instances: set[str] = set()
        self._rules: set[tuple[str, str]] = set()

    def load(self) -> None:
        for entry in self._document.instances:
            self._guard(self._load_instance, entry)
        for entry in self._document.rules:
            self._guard(self._load_rule, entry)

    def look_for_circles(self) -> None:
        """Among what is changed; a ring is told once, whichever of its rules closed it."""
        roads, told = circles.Roads(self._user), set[frozenset[str]]()
        for change in self.report.changes:
            if not isinstance(change.thing, SyncRule) or change.verb == "deleted" or not change.thing.enabled:
                continue
            ring = roads.ring(change.thing)
            if ring and frozenset(ring.rules) not in told:
                told.add(frozenset(ring.rules))
                self.report.warnings.append(ring.warning)

    def prune(self) -> None:
        """Only by a file that is sound: what cannot be read would be taken for missing."""
        root = self._document.root
        try:
            self._rights.may_prune()
        except Refused as refused:
            self.faults.append(Fault(root.line, str(refused)))
        if not {"instances", "rules"} <= root.values.keys():
            sentence = (
                "to prune, the file must have “instances” and “rules”: see whether it is whole. "
                "Where none is to stay, write “instances: []” or “rules: []”"
            )
            self.faults.append(Fault(root.line, sentence))
        if self.faults:
            return
        for rule in SyncRule.objects.select_related("source").order_by("source__name", "name"):
            if (rule.source.name, rule.name) not in self._rules:
                configure.delete_rule(rule)
                self.report.changes.append(Change("deleted", rule))
        for instance in Instance.objects.order_by("name"):
            if instance.name not in self._instances:
                self._prune_instance(instance, root.line_of("instances"))

    def _prune_instance(self, instance: Instance, line: int) -> None:
        try:
            configure.delete_instance(instance)
        except configure.InUse as error:
            sentence = f"“{instance.name}” is not listed here, and cannot be deleted. {error}"
            self.faults.append(Fault(line, sentence))
        else:
            self.report.changes.append(Change("deleted", instance))

    def _guard(self, load: Callable[[Entry], None], entry: Entry) -> None:
        """Goes on after a fault, so that one run names them all."""
        try:
            load(entry)
        except Fault as fault:
            self.faults.append(fault)
        except Refused as refused:
            self.faults.append(Fault(entry.line, str(refused)))

    def _load_instance(self, entry: Entry) -> None:
        name = entry.required("name")
        if name in self._instances:
            raise Fault(entry.line_of("name"), f"there is an instance “{name}” further up")
        self._instances.add(name)
        self._sound[name] = False
        instance = Instance.objects.filter(name=name).first() or Instance(name=name)
        self._rights.may_have_instance(instance)
        password = self._secret(entry, "password", f"{name}: password", stored=bool(instance.encrypted_password))
        api_key = self._secret(entry, "api_key", f"{name}: API key", stored=bool(instance.encrypted_api_key))
        details = self._bring(instance, entry, INSTANCE_FIELDS)
        if details is None:
            return
        self._sound[name] = True
        for key, secret in (("password", password), ("api_key", api_key)):
            if secret is not None and not _holds(instance, key, secret):
                details.append(f"{key}: changed")
        if self._counts(instance, details):
            self._rights.may_change_instance(instance)
            instance.private_addresses = True  # as whatever a platform administrator enters
            configure.save_instance(instance, password, api_key)

    def _load_rule(self, entry: Entry) -> None:
        source, target = entry.required("source.instance"), entry.required("target.instance")
        if not all(self._sound.get(instance, True) for instance in (source, target)):
            return  # What is wrong with the instance is told already.
        name = entry.required("name")
        if (source, name) in self._rules:
            raise Fault(entry.line_of("name"), f"there is a rule “{source}/{name}” further up")
        self._rules.add((source, name))
        self._rights.may_have_rules(source)
        stored = SyncRule.objects.select_related("source", "target").filter(source__name=source, name=name).first()
        rule = stored or SyncRule()
        self._rights.may_name_target(target, rule)
        whose = f"{source}/{name}: secret of the webhook"
        secret = self._secret(entry, "webhook.secret", whose, stored=bool(rule.encrypted_webhook_secret))
        details = self._bring(rule, entry, RULE_FIELDS)
        if details is None:
            return
        if fault := fitting.type_fault(rule):
            raise Fault(entry.line_of("resources"), fault)
        if self._bring_secret(rule, secret, entry):
            details.append("webhook.secret: changed")
        if self._counts(rule, details):
            self._rights.may_have(rule)
            self._save(rule)

    def _save(self, rule: SyncRule) -> None:
        """With what is to be told of it besides its fields."""
        if taken_over := configure.takeover(rule, self._user):
            before, after = taken_over
            self.report.warnings.append(f"Rule {rule} stands on {after} then, before on {before}.")
        configure.save_rule(rule, owner=self._user)
        if rule.suspension:
            self.report.warnings.append(f"Rule {rule} is suspended, so that nothing starts it: {rule.suspension}")

    def _bring_secret(self, rule: SyncRule, secret: str | None, entry: Entry) -> bool:
        """Whether it is another one. Without an address none is kept."""
        if not rule.webhook_url:
            rule.webhook_secret = ""
        elif secret == "" or (secret is None and not rule.encrypted_webhook_secret):
            sentence = "a webhook needs a secret: name a variable by secret_env, or a file by secret_file"
            raise Fault(entry.line_of("webhook.url"), sentence)
        elif secret is not None and not _holds(rule, "webhook_secret", secret):
            rule.webhook_secret = secret
            return True
        return False

    def _bring(self, thing: Instance | SyncRule, entry: Entry, fields: Sequence[Field]) -> list[str] | None:
        """Gives it the values of the entry and says what differs from before; None, with faults, if it is not sound."""
        before = {field.key: field.read(thing) for field in fields} if thing.pk else {}
        for field in fields:
            value = entry.values.get(field.key, field.default(type(thing)))
            try:
                field.write(thing, value)
            except Refused as refused:
                raise Fault(entry.line_of(field.key), str(refused)) from None
        try:
            thing.full_clean()
        except ValidationError as error:
            self.faults += _faults(error, entry, fields)
            return None
        after = {field.key: field.read(thing) for field in fields}
        return [difference(key, old, after[key]) for key, old in before.items() if old != after[key]]

    def _counts(self, thing: Instance | SyncRule, details: list[str]) -> bool:
        """Whether there is something to save."""
        if thing.pk is None:
            self.report.changes.append(Change("created", thing))
        elif details:
            self.report.changes.append(Change("changed", thing, details))
        else:
            self.report.unchanged += 1
            return False
        return True

    def _secret(self, entry: Entry, key: str, whose: str, *, stored: bool) -> str | None:
        """The secret by its reference; None leaves the stored one as it is. whose: for what is told of it."""
        variable, file = entry.values.get(f"{key}_env"), entry.values.get(f"{key}_file")
        if variable and file:
            words = f"{key}_env or {key}_file".replace("webhook.", "")
            raise Fault(entry.line_of(f"{key}_file"), f"give {words}, not both")
        if file:
            return _secret_of(Path(file), entry, f"{key}_file")
        if not variable or variable in os.environ:
            return os.environ[variable] if variable else None
        if not stored:
            raise Fault(entry.line_of(f"{key}_env"), f"the environment has no variable {variable}")
        self.report.kept.append(f"{whose} kept, the environment has no variable {variable}.")
        return None


def _faults(error: ValidationError, entry: Entry, fields: Sequence[Field]) -> list[Fault]:
    keys = {column: field.key for field in fields for column in field.columns}
    found = []
    for column, sentences in error.message_dict.items():
        key = keys.get(column, "")
        word = f"{key.rpartition('.')[2]}: " if key else ""
        found += [Fault(entry.line_of(key), f"{word}{sentence}") for sentence in sentences]
    return found


def _holds(thing: Instance | SyncRule, name: str, secret: str) -> bool:
    try:
        return bool(getattr(thing, name) == secret)
    except CredentialKeyMissing:
        return False


def _secret_of(path: Path, entry: Entry, key: str) -> str:
    try:
        return path.read_text().rstrip("\n")
    except OSError as error:
        raise Fault(entry.line_of(key), f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Fault(entry.line_of(key), f"{path} is not text") from None
