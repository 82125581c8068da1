"""Sealing secrets from where they are made to the mailer (NaCl sealed boxes, libsodium's
`crypto_box_seal`): anyone with the public key can seal, only the private key opens."""

from base64 import b64decode, b64encode
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from foundation.errors import ConfigurationError


class Sealer:
    """Seals with the mailer's public key. Raises ConfigurationError if that is not a key."""

    def __init__(self, public_key: str) -> None:
        self._box = SealedBox(PublicKey(_key_bytes(public_key, "keys.public")))

    def seal(self, secret: str) -> str:
        return b64encode(self._box.encrypt(secret.encode())).decode()


class Opener:
    """Opens with the mailer's private keys: the newest, and those before it, to which older secrets are sealed. A
    sealed box names no key, and opens to none but its own, so all are tried. Raises ConfigurationError if one is not
    a key, or if none is the partner of the public key, if that is given."""

    def __init__(self, private_key: str, public_key: str = "", previous: Sequence[str] = ()) -> None:
        keys = [_key_bytes(private_key, "keys.private"), *(_key_bytes(key, "keys.previous") for key in previous)]
        self._boxes = [SealedBox(PrivateKey(key)) for key in keys]
        if public_key:
            self.open(Sealer(public_key).seal(""))

    def open(self, sealed: str) -> str:
        """Raises ConfigurationError if this was sealed to a key that is not here."""
        for box in self._boxes:
            try:
                return box.decrypt(b64decode(sealed)).decode()
            except (CryptoError, ValueError):
                continue
        raise ConfigurationError(
            "a sealed secret does not open: keys.private is not the partner of the keys.public it was sealed to, and"
            f" none of {len(self._boxes) - 1} keys.previous is"
        )


def generate_keys() -> tuple[str, str]:
    """A new pair (public, private), base64."""
    private = PrivateKey.generate()
    return b64encode(bytes(private.public_key)).decode(), b64encode(bytes(private)).decode()


def public_of(private_key: str) -> str:
    """The public key of a pair, from its private one. Raises ConfigurationError if that is not a key."""
    return b64encode(bytes(PrivateKey(_key_bytes(private_key, "keys.private")).public_key)).decode()


def _key_bytes(key: str, setting: str) -> bytes:
    try:
        decoded = b64decode(key, validate=True)
    except ValueError:  # no base64, or not even ASCII
        decoded = b""
    if len(decoded) != PublicKey.SIZE:
        raise ConfigurationError(f"{setting} is not set to a key; `sitecrew keys generate` makes a pair")
    return decoded
