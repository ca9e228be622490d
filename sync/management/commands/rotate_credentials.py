"""Encrypts stored passwords and secrets of webhooks anew, with the first of CREDENTIAL_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.services.rotation import rotate


class Command(BaseCommand):
    help = "Encrypts stored secrets anew with the first of CREDENTIAL_KEYS; then the other keys can be given up."

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate()
        noun = "secret is" if done.number == 1 else "secrets are"
        self.stdout.write(f"{done.number} {noun} encrypted with the first key.")
        if done.unreadable:
            raise CommandError(
                f"No key in CREDENTIAL_KEYS decrypts what is stored for {', '.join(done.unreadable)}. "
                "Put the key back, or enter these again; give up no key before."
            )
