"""Signatures as Standard Webhooks has them (https://www.standardwebhooks.com): HMAC-SHA256 of id, time and body."""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable

PREFIX = "whsec_"
"""By which people and secret scanners recognize a secret."""


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + b64encode(secrets.token_bytes(32)).decode()


def signature(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature for each secret that is valid now. `timestamp` is in
    seconds since 1970."""
    signed = f"{id}.{timestamp}.".encode() + body
    keys = (b64decode(secret.removeprefix(PREFIX)) for secret in secrets)
    return " ".join(f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys)
