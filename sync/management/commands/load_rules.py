"""manage.py load_rules FILE"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.management.acting import acting_of, add_acting, as_os_user
from sync.services.rulefile import Report, RuleFileError, load_rules

EPILOG = """exit status: 0 loaded; 1 the file was refused; 2 it cannot be read. With --diff: 0 nothing would change;
1 something would; 2 the file was refused or cannot be read."""


class Command(BaseCommand):
    help = "Brings instances and rules to what a YAML file says. All or nothing; loading twice changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument(
            "file", type=Path, help="YAML with instances and rules, see docs/operations.md; - reads standard input"
        )
        parser.add_argument("--diff", action="store_true", help="change nothing, print what would be changed")
        parser.add_argument(
            "--prune", action="store_true", help="also delete the rules and instances that are not in the file"
        )

        add_acting(parser)

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        acting = acting_of(options)
        try:
            text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
            report = load_rules(text, prune=options["prune"], dry_run=options["diff"], user=acting.user)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}", returncode=2) from None
        except RuleFileError as error:
            refused = "\n".join(f"{path}, {fault}" for fault in error.faults)
            raise CommandError(f"{refused}\nNothing was changed.", returncode=2 if options["diff"] else 1) from None
        for note in (*report.kept, *report.warnings):
            self.stderr.write(note)
        if options["diff"]:
            self._show(report)
        else:
            self._tell(report, options["prune"])

    def _show(self, report: Report) -> None:
        for change in report.changes:
            for line in change.lines():
                self.stdout.write(line)
        if report.changes:
            sys.exit(1)

    def _tell(self, report: Report, prune: bool) -> None:
        for change in report.changes:
            self.stdout.write(f"{change.verb} {change.thing}")
        deleted = f"{len(report.deleted)} deleted, " if prune else ""
        self.stdout.write(
            f"{len(report.created)} created, {len(report.changed)} changed, {deleted}{report.unchanged} as they were."
        )
