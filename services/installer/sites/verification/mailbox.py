"""The customer's email address as applications store it: with its domain in ASCII."""

from foundation.addresses import ascii_domain
from services.installer.sites.causes import failed


def with_ascii_domain(address: str) -> str:
    """The same address with its domain in ASCII, by IDNA 2008.

    Applications that only accept ASCII strip other characters, which turns the address into someone else's.
    Raises `Failed` (email_unsupported).
    """
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{ascii_domain(domain)}"
    except ValueError:
        raise failed("email_unsupported", f"customer.email: the domain of {address!r} has no ASCII form") from None
