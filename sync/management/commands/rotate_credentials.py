"""Encrypts stored passwords and secrets of webhooks anew, with the first of CREDENTIAL_KEYS."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sync.services.rotation import rotate


class Command(BaseCommand):
    help = "Encrypts stored secrets anew with the first of CREDENTIAL_KEYS; then the other keys can be given up."

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate()
        noun = "secret is" if done.number == 1 else "secrets are"
        self.stdout.write(f"{done.number} {noun} encrypted with the first key.")
        for what, number in done.counts.items():
            self.stdout.write(f"  {what}: {number}")
        if done.unreadable:
            raise CommandError(
                f"No key in CREDENTIAL_KEYS decrypts what is stored for {', '.join(done.unreadable)}. "
                "Put the key back, or enter these again; give up no key before."
            )
        self.stdout.write(_next_step(len(settings.CREDENTIAL_KEYS) - 1))


def _next_step(others: int) -> str:
    if not others:
        return "CREDENTIAL_KEYS holds no other key: nothing is to be done."
    keys = "the other key" if others == 1 else f"the {others} other keys"
    return (
        f"Nothing that is stored needs {keys} of CREDENTIAL_KEYS any more. Next: leave the first one alone there, on "
        "each host, and restart everything. Keep the others with the backups from before: those need them."
    )
