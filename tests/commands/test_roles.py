"""Every command for every role, on an instance of one's own and on a foreign one. A command without an entry fails."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import transaction

from sync.models import AuditEntry, Instance, Status, SyncRule, SyncTask
from sync.services import grants
from sync.services.grants import Right
from tests.commands.support import PROJECT

PLATFORM = "platform"
ROLES = ("nobody", *Right, PLATFORM)
# What a command names: the instance, and a task of its rule.
Named = tuple[str, int]


@dataclass(frozen=True)
class Use:
    """One use of a command: the words that follow, which right on the instance it needs, and the exit status of what
    is done and of what is refused."""

    command: str
    words: Callable[[Named, Path], list[str]]
    need: str
    done: int = 0
    refused: int = 2


def _file(folder: Path, **document: Any) -> list[str]:
    path = folder / "rules.yaml"
    path.write_text(json.dumps(document))
    return [str(path)]


def _rules(named: Named, folder: Path) -> list[str]:
    source, target = {"instance": named[0], "namespace": "prod"}, {"instance": "shared"}
    return _file(folder, rules=[{"name": "web", "description": "changed", "source": source, "target": target}])


def _instances(named: Named, folder: Path) -> list[str]:
    return _file(folder, instances=[{"name": named[0], "region": "elsewhere", "url": "http://127.0.0.1:1"}])


# Of those with --as-user.
USES = {
    "bulk_sync --rule": Use("bulk_sync", lambda named, _: ["--rule", f"{named[0]}/web"], Right.OPERATE),
    "bulk_sync --instance": Use("bulk_sync", lambda named, _: ["--instance", named[0]], Right.OPERATE),
    # Nobody listens there: it is looked at, and told to be away.
    "bulk_sync --dry-run": Use(
        "bulk_sync", lambda named, _: ["--dry-run", "--rule", f"{named[0]}/web"], Right.VIEW, done=1
    ),
    "stop_task": Use("stop_task", lambda named, _: [str(named[1])], Right.OPERATE),
    "retry_failed": Use("retry_failed", lambda named, _: [str(named[1] + 1)], Right.OPERATE),
    "dump_rules": Use("dump_rules", lambda named, _: ["--instance", named[0]], Right.MANAGE_RULES),
    "load_rules": Use("load_rules", _rules, Right.MANAGE_RULES, refused=1),
    "load_rules --diff": Use(
        "load_rules", lambda named, folder: ["--diff", *_rules(named, folder)], Right.MANAGE_RULES, done=1
    ),
    "load_rules of instances": Use("load_rules", _instances, PLATFORM, refused=1),
}
# For whoever holds the machine, with its database and its keys: no user of the console could be asked for.
OF_THE_MACHINE = {
    "rotate_credentials": "reads and writes every stored secret at once, whoever's it is",
    "createsuperuser": "makes the first administrator, before whom there is nobody",
    "check": "looks at settings, database and queue as a whole",
    "changepassword": "lets in again who has lost the last password",
}
MISSING: Named = ("missing", 9001)


def own_commands() -> set[str]:
    """Of the project's apps, those of Django that it replaces included."""
    ours = {app.name for app in apps.get_app_configs() if Path(app.path).parent == PROJECT}
    assert ours == {"sync", "tcrconsole"}
    return {name for name, app in get_commands().items() if app in ours}


def takes_as_user(command: str) -> bool:
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    return "--as-user" in parser.format_help()


def test_every_command_says_what_it_needs():
    acting = {use.command for use in USES.values()}
    assert own_commands() == acting | OF_THE_MACHINE.keys()
    assert {command for command in own_commands() if takes_as_user(command)} == acting


@pytest.fixture
def things(db: None) -> dict[str, Named]:
    """An instance of one's own and a foreign one, each with a rule, a task that waits, and after it one that failed."""
    made = [Instance.objects.create(name=name, region="r", url="http://127.0.0.1:1") for name in ("own", "foreign")]
    shared = Instance.objects.create(name="shared", region="r", url="http://127.0.0.1:1")
    found = {}
    for first, instance in zip((7001, 8001), made, strict=True):
        rule = SyncRule.objects.create(name="web", source=instance, target=shared, source_namespace="prod")
        sides = {"rule": rule, "source": instance, "target": shared, "snapshot": rule.snapshot()}
        SyncTask.objects.create(**sides, pk=first)
        SyncTask.objects.create(**sides, pk=first + 1, status=Status.FAILED)
        found[instance.name] = (instance.name, first)
    return found


def somebody(role: str) -> User:
    """With the role on the instance of their own, and with Receive where the rules lead."""
    user = User.objects.create_user("ann", is_superuser=role == PLATFORM)
    grants.grant(Right.RECEIVE, user, Instance.objects.get(name="shared"))
    if role in set(Right):
        grants.grant(Right(role), user, Instance.objects.get(name="own"))
    return user


def outcome_of(use: Use, named: Named, folder: Path) -> tuple[int, str]:
    """Exit status, and all that is told, with what was named taken out of it. Whatever it does is undone."""
    words = [*use.words(named, folder), "--as-user", "ann"]
    out, err, status, refusal = StringIO(), StringIO(), 0, ""
    with transaction.atomic():
        try:
            call_command(use.command, *words, stdout=out, stderr=err)
        except CommandError as error:
            status, refusal = error.returncode, str(error)
        except SystemExit as left:
            status = int(left.code or 0)
        transaction.set_rollback(True)
    told = out.getvalue() + err.getvalue() + refusal
    for what in (named[0], str(named[1]), str(named[1] + 1)):
        told = told.replace(what, "…")
    return status, told


def expected(need: str, role: str, whose: str) -> str:
    if role == PLATFORM:
        return "done"
    rights = {right for right, given in grants.GIVEN_BY.items() if role in given} if whose == "own" else set()
    if Right.VIEW not in rights:
        return "missing"
    return "done" if need in rights else "refused"


@pytest.mark.usefixtures("valkey")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("use", USES)
def test_every_command_for_every_role(use, role, things, tmp_path):
    somebody(role)
    one = USES[use]
    missing = outcome_of(one, MISSING, tmp_path)
    for whose, named in things.items():
        status, told = outcome_of(one, named, tmp_path)
        match expected(one.need, role, whose):
            case "done":
                assert (status, "needs the role" in told) == (one.done, False), f"{whose}: {told}"
            case "refused":
                assert status == one.refused, f"{whose}: {told}"
                assert "needs the role" in told or (one.need == PLATFORM and "only platform administrators" in told)
            case "missing":
                assert (status, told) == missing, whose
                assert status == one.refused and "here is no " in told


def test_nobody_prunes_what_may_be_others(things, tmp_path):
    somebody(Right.ADMINISTER)
    words = [*_file(tmp_path, instances=[], rules=[]), "--prune", "--as-user", "ann"]
    with pytest.raises(CommandError, match="only platform administrators prune"):
        call_command("load_rules", *words)
    assert (Instance.objects.count(), SyncRule.objects.count()) == (3, 2)


def test_a_target_that_is_not_seen_is_a_missing_one_too(things, tmp_path):
    user = somebody(Right.MANAGE_RULES)

    def refusal(target: str) -> str:
        rule = {"name": "new", "source": {"instance": "own", "namespace": "prod"}, "target": {"instance": target}}
        with pytest.raises(CommandError) as caught:
            call_command("load_rules", *_file(tmp_path, rules=[rule]), "--as-user", "ann")
        return str(caught.value).replace(target, "…")

    assert refusal("foreign") == refusal("missing")
    grants.grant(Right.VIEW, user, Instance.objects.get(name="foreign"))
    assert "lacks the right Receive on …" in refusal("foreign")


def test_a_rule_that_a_user_loads_stands_on_their_rights(things, tmp_path):
    user = somebody(Right.MANAGE_RULES)
    call_command("load_rules", *_rules(things["own"], tmp_path), "--as-user", "ann", stdout=StringIO())
    rule = SyncRule.objects.get(source__name="own")
    assert (rule.owner, rule.by_platform, rule.description) == (user, False, "changed")
    entry = AuditEntry.objects.filter(verb="changed").latest("pk")
    assert entry.actor_name.endswith(" as ann")


def test_what_a_user_dumps_is_what_they_may_configure_and_loads_again(things, tmp_path):
    somebody(Right.ADMINISTER)
    path = tmp_path / "mine.yaml"
    call_command("dump_rules", "--output", str(path), "--as-user", "ann")
    text = path.read_text()
    assert "name: own" in text and "instance: shared" in text
    assert "foreign" not in text and "name: shared" not in text
    out = StringIO()
    call_command("load_rules", str(path), "--as-user", "ann", stdout=out)
    assert out.getvalue() == "0 created, 0 changed, 2 as they were.\n"
