"""manage.py dump_rules"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.management.acting import acting_of, add_acting, as_os_user
from sync.services.rulefile import Refused, UnknownInstance, dump_rules


class Command(BaseCommand):
    help = "Prints instances and rules as YAML for load_rules. Passwords are not in it, only where they are to be had."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--instance",
            action="append",
            default=[],
            metavar="NAME",
            help="only the rules whose source it is, and the instances that they name; may be given several times",
        )
        add_acting(parser)
        parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead")

    @as_os_user
    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["output"]
        acting = acting_of(options)
        try:
            text = dump_rules(options["instance"], acting.user)
            if path is None:
                self.stdout.write(text, ending="")
            else:
                path.write_text(text, encoding="utf-8")
        except UnknownInstance as error:
            raise CommandError(str(error), returncode=2) from None
        except Refused as refusal:
            raise CommandError(f"{acting.name}: {refusal}.", returncode=2) from None
        except OSError as error:
            raise CommandError(
                f"{path or 'Standard output'} cannot be written: {error.strerror}", returncode=2
            ) from None
