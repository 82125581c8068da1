"""Hosting servers: what Sitecrew needs from any of them, whatever panel or machine is behind it.

A driver is anything that satisfies `Server`. `local` (this package) keeps accounts as directories
on this machine; drivers for panels implement the same few methods.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from foundation.hosting.web import WebFront


@dataclass(frozen=True)
class AccountRequest:
    """What an account is created from.

    `marker` is the order's id: a server that already has this username adopts the account if it
    bears the same marker, and calls it a conflict if not. `password` never leaves the process in
    the clear; it is kept out of `repr`.
    """

    username: str
    domain: str
    email: str
    marker: str
    password: str = field(repr=False)
    aliases: tuple[str, ...] = ()
    """Further names for the account's site, as far as they are free."""


@dataclass(frozen=True)
class Account:
    """A hosting account that exists."""

    username: str
    domain: str
    adopted: bool
    """Whether an earlier, interrupted run had created it."""
    aliases: tuple[str, ...] = ()
    """The requested aliases that do lead to the account's site."""


@dataclass(frozen=True)
class Standing:
    """An account as it stands on a server."""

    username: str
    marker: str | None
    """The id of the order that it was created for; None if nothing says so."""


@dataclass(frozen=True)
class Inventory:
    """What stands on a server, for an audit."""

    accounts: Iterator[Standing]
    """All accounts, by username, byte by byte."""
    drafts: Sequence[str]
    """What is left of accounts whose creation was interrupted, and has nobody working on it."""


@dataclass(frozen=True)
class Database:
    """The database of one site, with a user of its own."""

    host: str
    """`localhost:/path/to.sock`, or a name or address and a port (`192.0.2.7:3306`, `[2001:db8::7]:3306`), as
    WordPress takes it. Never `localhost` with a port: PHP would look for a socket instead."""
    name: str
    username: str
    password: str = field(repr=False)
    tls: str = "none"
    """How the site must connect: `none`; `require`: encrypted; `verify`: encrypted, with the certificate verified."""


class Databases(Protocol):
    """The database server of a hosting server."""

    def create(self, name: str) -> Database:
        """Create an empty database with a user and password of its own. One of that name, left by an
        interrupted run, is dropped first. Raises `Failed` (db_down, db_auth, db_denied, db_full)."""

    def drop(self, name: str) -> None:
        """Drop the database and its user; no error if they do not exist."""

    def names(self, prefix: str) -> list[str]:
        """The databases whose names begin with `prefix`, sorted."""


@dataclass(frozen=True)
class ServerFacts:
    """A server's settings, whatever its driver; a plug-in's driver is created from them."""

    name: str
    address: str
    web_address: str
    public_port: int
    control_panel_url: str | None
    databases: Databases | None
    web: WebFront
    """How its web server is reached, which a driver provides as its `web`; and the sites' URLs (`web.url`)."""


class Server(Protocol):
    """One hosting server. Every method is idempotent and raises `Failed` with its cause."""

    name: str
    address: str
    """External IP address, for the customer's DNS records and temporary URLs."""
    web_address: str
    """`host:port` at which the server's own web server answers; verification connects here, with the
    site's name in the Host header, so DNS need not be ready."""
    control_panel_url: str | None
    databases: Databases | None
    # A driver may have `web`, too, a `WebFront`: how its web server is asked. Without it, by HTTP at `web_address`.
    # It may have `inventory() -> Inventory`, which changes nothing. Without it, an audit can't look at the server.

    def create_account(self, request: AccountRequest) -> Account:
        """Create the account, or adopt it if it bears the request's marker (its password is then
        set again). Raises `Failed` with `username_taken` (conflict) if it belongs to someone else."""

    def release_domain(self, username: str, domain: str) -> None:
        """Release the account's domain for other accounts, because its order never became a site. The account itself
        stays. No error if the domain leads to another account, or the account does not exist. A plug-in's driver may
        lack this method; the domain then stays taken."""

    def home(self, username: str) -> Path:
        """The account's home directory. The document root is `www` in it."""

    def temporary_url(self, username: str) -> str:
        """The URL at which the site answers before its domain points here; ends with a slash."""

    def domain_url(self, domain: str) -> str:
        """The site's URL under its own domain; ends with a slash."""

    def check(self) -> None:
        """Raise `Failed` if this server cannot accept accounts now (root missing, disk full, ...)."""
