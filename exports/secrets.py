"""Secrets of destinations, encrypted under SECRET_KEY: a copy of the table opens nothing.

Fernet of the `cryptography` package, with a key derived from SECRET_KEY for this purpose alone.
After a change of SECRET_KEY the former one in SECRET_KEY_FALLBACKS still reads what is there.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"tokenbook: secrets of export destinations"


class Unreadable(Exception):
    """It was encrypted under another SECRET_KEY."""


def encrypt(secret: str) -> str:
    return cipher().encrypt(secret.encode()).decode()


def decrypt(text: str) -> str:
    """Raises Unreadable."""
    try:
        return cipher().decrypt(text.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def cipher() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(derived(key)) for key in keys])


def derived(key: str) -> bytes:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(made)
