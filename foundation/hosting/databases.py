"""A database with its own user for each site, on MariaDB or MySQL."""

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from foundation.addresses import HostPort, bare
from foundation.errors import Failed
from foundation.hosting import Database
from foundation.hosting.causes import failed
from foundation.hosting.database_connection import Connection, Login, Refused
from foundation.hosting.database_errors import REFUSED, SECRET, failure, site_failure
from foundation.passwords import generated

Tls = Literal["auto", "require", "verify"]

_LONGEST = 64  # characters in the name of a database


@dataclass(frozen=True, kw_only=True)
class MariaDatabases:
    """Satisfies `Databases` as an administrator of one database server, through a socket or host and port."""

    user: str = "root"
    password: str = field(default="", repr=False)
    socket: Path | None = None
    host: str = "localhost"
    port: int = 3306
    user_host: str = ""
    """The host part of the sites' users, `%` and `_` being wildcards. Empty: the host that this machine is seen as,
    if the server is on this machine, else any."""
    tls: Tls = "auto"
    """`auto`: sites' connections are encrypted if the server demands it, ours if it can. `require`: both are. `verify`:
    and the server's certificate is checked. A socket is never encrypted."""
    ca_file: Path | None = None
    """The CA file to trust with `verify`; None: the machine's CAs."""
    setting: str = "servers.*.databases"
    """The settings' section for this server, for messages."""
    connect_seconds: int = 5
    read_seconds: int = 20
    """Seconds that the server may take for one statement, or for its greeting."""

    def create(self, name: str) -> Database:
        """See `Databases`. The user has logged in when this returns. Raises `Failed`: db_site_refused if it could not,
        and any other db_*."""
        what = self._could_not(f"create {name}")
        if len(name) > _LONGEST:
            raise failed("db_name", f"{what}: the name has more than {_LONGEST} characters")
        with self._administering(what) as admin:
            plain = self.socket is not None or self.tls == "auto"
            database = Database(admin.site_host, name, name, generated(), "none" if plain else self.tls)
            admin.drop(name)
            admin.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
            admin.let_in(database, self.user_host or admin.clients)
            try:
                return self._admitted(admin, database, what)
            except Failed:
                admin.drop(name)
                raise

    def drop(self, name: str) -> None:
        """See `Databases`. Raises `Failed` as `create` does."""
        with self._administering(self._could_not(f"drop {name}")) as admin:
            admin.drop(name)

    def names(self, prefix: str) -> list[str]:
        """See `Databases`. Raises `Failed` as `create` does."""
        with self._administering(self._could_not(f"list the databases {prefix}...")) as admin:
            found = admin.run("SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
            return [str(name) for (name,) in found if str(name).startswith(prefix)]

    def users(self) -> list[str]:
        """All users of the server, sorted. Raises `Failed` as `create` does, also if we may not read them."""
        with self._administering(self._could_not("list its users")) as admin:
            return [str(name) for (name,) in admin.run("SELECT DISTINCT User FROM mysql.user ORDER BY User")]

    def describe(self) -> str:
        """The server and its connection, for people. Raises `Failed` as `create` does."""
        with self._administering(self._could_not("report its version")) as admin:
            ((version,),) = admin.run("SELECT VERSION()")
            cipher = admin.run("SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1]
        readable = self.socket is None and not cipher and not self.on_this_machine
        advice = f", NOT encrypted: passwords can be intercepted; see {self.setting}.tls" if readable else ""
        return f"{version} at {self.place}{' (encrypted)' if cipher else ''}{advice}"

    @property
    def place(self) -> str:
        """The server's address."""
        return str(self.socket) if self.socket else str(HostPort(bare(self.host), self.port))

    @property
    def named_localhost(self) -> bool:
        return self.host.casefold() == "localhost"

    @property
    def on_this_machine(self) -> bool:
        """Whether the server's address is a loopback or socket address of this machine."""
        with suppress(ValueError):
            return self.socket is not None or ipaddress.ip_address(bare(self.host)).is_loopback
        return self.named_localhost

    def _admitted(self, admin: "_Administrator", database: Database, what: str) -> Database:
        """The database as its own user gets into it, from this machine and as PHP would: in the clear if that is
        allowed, else encrypted. A server that demands encryption says, as MariaDB does, that the password is wrong."""
        encrypted = [replace(database, tls="require")] if database.tls == "none" and self.socket is None else []
        refusals = []
        for attempt in (database, *encrypted):
            try:
                self._connection(attempt.username, attempt.password, attempt.tls, attempt.name).close()
            except Refused as refused:
                refusals.append(refused)
            else:
                return attempt
        first = refusals[0]
        if first.number not in REFUSED:
            raise site_failure(first.number, first.message, what)
        if admin.let_in(database, admin.seen_as):
            return self._admitted(admin, database, what)
        shadow = admin.anonymous()
        raise site_failure(first.number, first.message + (f" ({shadow} comes first)" if shadow else ""), what)

    def _connection(self, user: str, password: str, tls: str, database: str | None = None) -> Connection:
        login = Login(
            user=user,
            password=password,
            socket=self.socket,
            place=HostPort(bare(self.host), self.port),
            encryption=self._encryption(tls),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            database=database,
        )
        return Connection(login)

    def _encryption(self, tls: str) -> ssl.SSLContext | bool:
        if self.socket is not None or tls not in ("require", "verify"):
            return tls != "none"
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise failed("db_tls", f"{self.setting}.ca_file: cannot use {self.ca_file}: {reason}") from None
        if tls == "require":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _could_not(self, do: str) -> str:
        """The start of a failure's detail: the server, then what it was asked for."""
        return f"the database server at {self.place} ({self.setting}) could not {do}"

    @contextmanager
    def _administering(self, what: str) -> Iterator["_Administrator"]:
        """One short connection for one piece of work; the server's errors become `Failed`."""
        try:
            with closing(self._connection(self.user, self.password, self.tls)) as connection:
                yield _Administrator(connection, self)
        except Refused as refused:
            raise failure(refused.number, refused.message, what) from None


class _Administrator:
    """The administrator's connection, and how the server sees us."""

    def __init__(self, connection: Connection, server: MariaDatabases) -> None:
        self.run = connection.run
        self._peer = connection.peer
        self._server = server
        ((user,),) = self.run("SELECT USER()")
        self.seen_as = str(user).rpartition("@")[2]
        """The host that the server sees for connections from this machine: a name or an address."""
        self._hosts: dict[str, set[str]] = {}

    @property
    def clients(self) -> str:
        """The default host of sites: if the server is on this machine, so are they."""
        return self.seen_as if self._server.on_this_machine else "%"

    @property
    def site_host(self) -> str:
        """`localhost` would lead PHP to a socket of its own choice, whatever the port: name the address instead."""
        if self._server.socket is not None:
            return f"localhost:{self._server.socket}"
        return str(HostPort(self._peer, self._server.port)) if self._server.named_localhost else self._server.place

    def let_in(self, database: Database, host: str) -> bool:
        """Create the database's user for a host; False if it exists already."""
        hosts = self._hosts.setdefault(database.name, set())
        if host in hosts:
            return False
        hosts.add(host)
        self.run("CREATE USER %s@%s IDENTIFIED BY %s", (database.username, host, database.password))
        # In a GRANT the database is a pattern, in which a bare `_` would stand for any letter.
        pattern = database.name.replace("_", r"\_")
        self.run(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO %s@%s", (database.username, host))
        return True

    def drop(self, name: str) -> None:
        """Drops the user first, so that nobody uses it while the database is being dropped."""
        for host in sorted(self._known_hosts(name) | {self.clients, self.seen_as, self._server.user_host or "%"}):
            self.run("DROP USER IF EXISTS %s@%s", (name, host))
        self.run(f"DROP DATABASE IF EXISTS `{name}`")

    def anonymous(self) -> str:
        """The anonymous users, which match anybody from their host; empty if there are none."""
        return " and ".join(f"the anonymous user ''@'{host}'" for host in sorted(self._known_hosts("")))

    def _known_hosts(self, user: str) -> set[str]:
        """The hosts a user may connect from; empty if we may not read them."""
        try:
            return {str(host) for (host,) in self.run("SELECT Host FROM mysql.user WHERE User = %s", (user,))}
        except Refused as refused:
            if refused.number not in SECRET:
                raise
            return set()
