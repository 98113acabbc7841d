"""Codes of an authenticator app (TOTP, RFC 6238) as a second factor at log-in, and recovery codes.

The secret is encrypted with the site's SECRET_KEY and shown only until it is confirmed; recovery
codes are kept as digests and work once. A code is accepted once, half a minute early or late.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db import connection
from django.db.models import Q

from accounts.models import User
from config.models import SecondFactor

DIGITS = 6
STEP_SECONDS = 30
SECRET_BYTES = 20
RECOVERY_CODES = 10
ISSUER = "Tokenbook"

SPEND = """
UPDATE config_secondfactor SET recovery_digests = array_remove(recovery_digests, %s)
WHERE id = %s AND %s = ANY(recovery_digests)"""


def of(user: User) -> SecondFactor | None:
    """What the user has to show at log-in, if anything."""
    return SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).first()


def begin(user: User) -> SecondFactor:
    """A new secret, which counts for nothing until it is confirmed."""
    SecondFactor.objects.filter(user=user, confirmed_at=None).delete()
    secret = secrets.token_bytes(SECRET_BYTES)
    return SecondFactor.objects.create(user=user, secret=cipher().encrypt(secret).decode())


def confirm(factor: SecondFactor, code: str, *, now: datetime) -> list[str] | None:
    """The recovery codes, to be shown once; None where the code is not right."""
    if not accepts(factor, code, now=now):
        return None
    codes = ["-".join((secrets.token_hex(3), secrets.token_hex(3))) for _ in range(RECOVERY_CODES)]
    SecondFactor.objects.filter(pk=factor.pk).update(
        confirmed_at=now, recovery_digests=[digest_of(code) for code in codes]
    )
    return codes


def passes(factor: SecondFactor, code: str, *, now: datetime) -> bool:
    """Whether it is a code of now or a recovery code; either is then used up."""
    code = code.strip().replace(" ", "").lower()
    if len(code) == DIGITS and code.isdecimal():
        return accepts(factor, code, now=now)
    digest = digest_of(code)
    with connection.cursor() as cursor:
        cursor.execute(SPEND, [digest, factor.pk, digest])
        return cursor.rowcount == 1


def accepts(factor: SecondFactor, code: str, *, now: datetime) -> bool:
    """Claimed by its step, so that who looked over a shoulder comes too late."""
    step = step_of(factor, code.strip().replace(" ", ""), now=now)
    if step is None:
        return False
    newer = Q(last_step=None) | Q(last_step__lt=step)
    return SecondFactor.objects.filter(newer, pk=factor.pk).update(last_step=step) == 1


def step_of(factor: SecondFactor, code: str, *, now: datetime) -> int | None:
    try:
        codes = totp(factor)
    except SecretLost:
        return None
    present = int(now.timestamp()) // STEP_SECONDS
    for step in (present, present - 1, present + 1):
        if hmac.compare_digest(codes.generate(step * STEP_SECONDS), code.encode()):
            return step
    return None


def address(factor: SecondFactor) -> str:
    """What the app reads from the QR code."""
    return totp(factor).get_provisioning_uri(factor.user.get_username(), ISSUER)


def typed(factor: SecondFactor) -> str:
    """The secret as people type it where they cannot scan."""
    text = base64.b32encode(secret_of(factor)).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def totp(factor: SecondFactor) -> TOTP:
    return TOTP(secret_of(factor), DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 (what apps can do)


class SecretLost(Exception):
    """The secret was encrypted with another SECRET_KEY: the factor has to be removed."""


def secret_of(factor: SecondFactor) -> bytes:
    """Raises SecretLost."""
    try:
        return cipher().decrypt(factor.secret.encode())
    except InvalidToken as error:
        raise SecretLost from error


def cipher() -> MultiFernet:
    """A former SECRET_KEY in SECRET_KEY_FALLBACKS still reads what is there."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(derived(key)) for key in keys])


def derived(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"second factor:" + key.encode()).digest())


def digest_of(code: str) -> str:
    key = hashlib.sha256(b"recovery code:" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, code.encode(), hashlib.sha256).hexdigest()
