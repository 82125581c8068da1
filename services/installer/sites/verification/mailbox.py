"""The customer's mail address in the form that applications store: with its domain in ASCII."""

from foundation.addresses import ascii_domain
from services.installer.sites.causes import failed


def with_ascii_domain(address: str) -> str:
    """The same mailbox, its domain by IDNA 2008.

    Applications that take ASCII alone cut other letters out, which makes the address another person's.
    Raises `Failed` (email_unsupported).
    """
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{ascii_domain(domain)}"
    except ValueError:
        raise failed("email_unsupported", f"customer.email: the domain of {address!r} has no form in ASCII") from None
