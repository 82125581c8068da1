"""What is made from the setting `api.secret_key`: one key for each purpose."""

from base64 import b64decode, b64encode
from hashlib import blake2b

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from foundation.config.settings import Api
from foundation.errors import Refused, SitecrewError


class Unreadable(SitecrewError):
    """A secret was encrypted with another `api.secret_key`."""


def derived(own: Api, purpose: str) -> bytes:
    """Return the key for a purpose (at most 16 letters), 32 bytes. Raises Refused if `api.secret_key` is not set."""
    secret = own.secret_key.get_secret_value()
    if not secret:
        raise Refused("api.secret_key is not set; set it to a long random text, the same for every replica")
    return blake2b(secret.encode(), digest_size=SecretBox.KEY_SIZE, person=purpose.encode()).digest()


def encrypted(key: bytes, text: str) -> str:
    """Return a text as it may be kept."""
    return b64encode(SecretBox(key).encrypt(text.encode())).decode()


def decrypted(key: bytes, kept: str) -> str:
    """Return what was encrypted. Raises Unreadable if the key has changed since."""
    try:
        return SecretBox(key).decrypt(b64decode(kept)).decode()
    except CryptoError:
        raise Unreadable(
            "the secret cannot be decrypted: api.secret_key has changed since; set it back, or rotate the secret"
        ) from None
