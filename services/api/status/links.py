"""The links of status pages: whoever has one sees that order, and nobody can guess one."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import blake2b

from foundation.config.settings import Api
from foundation.errors import Refused
from services.api import keys

_PURPOSE = "status page"


def path(own: Api, order_id: str, source: str) -> str | None:
    """Return the path of the page of an order that `source` placed; None if `api.secret_key` is not set. It is the same
    whenever it is made."""
    try:
        return f"/status/{order_id}.{_proof(own, order_id, source)}"
    except Refused:
        return None


def order_of(token: str) -> str:
    """Return the order that a link claims to be about."""
    return token.rpartition(".")[0]


def is_genuine(own: Api, token: str, source: str) -> bool:
    """Whether a link was made for an order that `source` placed."""
    wanted = path(own, order_of(token), source)
    return wanted is not None and hmac.compare_digest(wanted.encode(), f"/status/{token}".encode())


def _proof(own: Api, order_id: str, source: str) -> str:
    """A keyed hash of 144 bits. The source is in it: another producer that uses the same order id learns nothing."""
    about = f"{order_id}\n{source}".encode()
    made = blake2b(about, key=keys.derived(own, _PURPOSE), digest_size=18).digest()
    return urlsafe_b64encode(made).decode()
