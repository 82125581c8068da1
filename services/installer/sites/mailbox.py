"""The customer's mail address in the form that applications store: with its domain in ASCII."""

import idna

from services.installer.sites.causes import failed


def with_ascii_domain(address: str) -> str:
    """The same mailbox, its domain by IDNA 2008 (the older standard sends mail for faß.example to fass.example).

    Applications that take ASCII alone cut other letters out, which makes the address another person's.
    Raises `Failed` (email_unsupported).
    """
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except UnicodeError:
        raise failed("email_unsupported", f"customer.email: the domain of {address!r} has no form in ASCII") from None
