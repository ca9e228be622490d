"""Encryption of stored credentials with `CREDENTIAL_KEYS`: the first key encrypts, any of them decrypts."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CredentialKeyMissing(Exception):
    """None of CREDENTIAL_KEYS decrypts a stored credential."""

    def __init__(self) -> None:
        super().__init__(
            "The stored password was encrypted with a key that is not in CREDENTIAL_KEYS. "
            "Put that key back, or enter the password again."
        )


def encrypt(secret: str) -> str:
    return _fernet().encrypt(secret.encode()).decode() if secret else ""


def decrypt(token: str) -> str:
    """Raises CredentialKeyMissing."""
    try:
        return _fernet().decrypt(token.encode()).decode() if token else ""
    except InvalidToken:
        raise CredentialKeyMissing from None


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])
