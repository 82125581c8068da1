"""Seal secrets for the mailer with NaCl sealed boxes (libsodium's `crypto_box_seal`).

Anyone with the public key can seal; only the private key opens.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from foundation.errors import ConfigurationError


class Sealer:
    """Seal with the mailer's public key. Raises ConfigurationError if it is not a valid key."""

    def __init__(self, public_key: str) -> None:
        self._box = SealedBox(PublicKey(_key_bytes(public_key, "keys.public")))

    def seal(self, secret: str) -> str:
        return b64encode(self._box.encrypt(secret.encode())).decode()


class Opener:
    """Open sealed secrets with the mailer's private keys: the current one, then `previous` ones for older secrets.

    A sealed box doesn't say which key it was sealed to, so each key is tried. Raises ConfigurationError if one is not a
    valid key, or if a public key is given and none of the private keys belongs to it.
    """

    def __init__(self, private_key: str, public_key: str = "", previous: Sequence[str] = ()) -> None:
        keys = [_key_bytes(private_key, "keys.private"), *(_key_bytes(key, "keys.previous") for key in previous)]
        self._boxes = [SealedBox(PrivateKey(key)) for key in keys]
        if public_key:
            self.open(Sealer(public_key).seal(""))

    def open(self, sealed: str) -> str:
        """Return the secret. Raises ConfigurationError if none of the keys opens it."""
        for box in self._boxes:
            try:
                return box.decrypt(b64decode(sealed)).decode()
            except (CryptoError, ValueError):
                continue
        raise ConfigurationError(
            "cannot open a sealed secret: neither keys.private nor any of the"
            f" {len(self._boxes) - 1} keys.previous belongs to the keys.public that it was sealed to"
        )


def generate_keys() -> tuple[str, str]:
    """Generate a new key pair: (public, private), base64."""
    private = PrivateKey.generate()
    return b64encode(bytes(private.public_key)).decode(), b64encode(bytes(private)).decode()


def public_of(private_key: str) -> str:
    """Derive the public key (base64) from a private one. Raises ConfigurationError if it is not a valid key."""
    return b64encode(bytes(PrivateKey(_key_bytes(private_key, "keys.private")).public_key)).decode()


def _key_bytes(key: str, setting: str) -> bytes:
    try:
        decoded = b64decode(key, validate=True)
    except ValueError:  # not base64, or not even ASCII
        decoded = b""
    if len(decoded) != PublicKey.SIZE:
        raise ConfigurationError(f"{setting} is not set to a valid key; generate a pair with `sitecrew keys generate`")
    return decoded
