"""manage.py load_rules FILE"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.services.rulefile import RuleFileError, load_rules


class Command(BaseCommand):
    help = "Brings instances and rules to what a YAML file says. All or nothing; loading twice changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, help="YAML with instances and rules, see docs/operations.md; - reads standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            report = load_rules(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}", returncode=2) from None
        except RuleFileError as error:
            refused = "\n".join(f"{path}, {fault}" for fault in error.faults)
            raise CommandError(f"{refused}\nNothing was changed.", returncode=1) from None
        for verb, names in (("created", report.created), ("changed", report.changed)):
            for name in names:
                self.stdout.write(f"{verb} {name}")
        self.stdout.write(
            f"{len(report.created)} created, {len(report.changed)} changed, {report.unchanged} as they were."
        )
