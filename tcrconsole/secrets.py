"""Secrets: from the environment, from files that it names, or made here, so that nobody runs with published ones."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

# What may stand in a file of its own, named by the variable with _FILE behind its name.
IN_FILES = ("SECRET_KEY", "CREDENTIAL_KEYS", "DATABASE_URL", "REDIS_URL", "METRICS_TOKEN", "OIDC_CLIENT_SECRET")


def read_files() -> None:
    """Puts what those files hold into the environment. Raises ImproperlyConfigured."""
    for name in IN_FILES:
        if path := os.environ.get(f"{name}_FILE"):
            try:
                os.environ[name] = Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {reason}.") from None


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    """The key kept in `path`; made and stored there, readable by the owner only, when the file is missing.

    Two processes may start at once: the first to link its file into place wins and both read the same key.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(make())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().strip()


def check_credential_keys(keys: list[str]) -> list[str]:
    """The keys; raises ImproperlyConfigured when one of them is no Fernet key."""
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        raise ImproperlyConfigured(
            "CREDENTIAL_KEYS holds something that is no Fernet key (32 bytes as URL-safe base64); docs/operations.md "
            "tells how to make one."
        ) from None
    return keys


def check_issuer(url: str) -> str:
    """The URL of a provider of single sign-on, blank for none; raises ImproperlyConfigured for an unsafe one."""
    parts = urlsplit(url)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if url and (not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and loopback))):
        raise ImproperlyConfigured("OIDC_ISSUER: give the provider's address as https://host/path.")
    if url and not os.environ.get("OIDC_CLIENT_ID"):
        raise ImproperlyConfigured("OIDC_ISSUER goes with OIDC_CLIENT_ID, the name of this console at the provider.")
    return url


def make_secret_key() -> str:
    return secrets.token_urlsafe(50)


def make_credential_key() -> str:
    return Fernet.generate_key().decode()
