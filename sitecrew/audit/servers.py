"""What must be true of a hosting server: the accounts, sites and databases on it are those that the rows tell of."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter

from foundation.errors import SitecrewError
from foundation.hosting import Inventory, Server, Standing
from services.installer import auditing as installer
from services.installer.auditing import InstallFacts
from services.installer.sites.docroot.inventory import Site, look
from services.installer.sites.docroot.runs import account_of_database
from services.installer.states import State
from services.order_intake import auditing as order_intake
from services.order_intake.auditing import AccountFacts
from sitecrew.audit.cases import Stores
from sitecrew.audit.rows import INSTALL_ENDS
from sitecrew.audit.violations import Violation, violation

_AT_A_TIME = 500
_STALE = timedelta(hours=1)
"""How old a tree is that nobody is about to remove any more: a large one takes minutes."""


class CannotBeAsked(SitecrewError):
    """The server's driver does not say what stands on it."""


@dataclass(frozen=True)
class Account:
    """An account, by its order's row and as it stands on the server; at least one of the two."""

    username: str
    row: AccountFacts | None
    standing: Standing | None


@dataclass(frozen=True)
class ServerAudit:
    """The audit of one server. Nothing on it is changed."""

    server: Server
    stores: Stores
    leaves_markers: Callable[[str], bool]
    """Whether sites of this type say in their account by which install they were built."""
    now: datetime
    grace: timedelta

    def run(self) -> Iterator[Violation]:
        """Yield what is wrong. Raises CannotBeAsked, Failed, StoreUnreachable."""
        inventory = self._inventory()
        for draft in inventory.drafts:
            yield violation("draft_abandoned", draft, f"on {self.server.name}")
        databases, users = self._databases()
        with self.stores.order_intake.reading() as connection:
            accounts = _joined(order_intake.accounts(connection, self.server.name), inventory.accounts)
            while some := list(islice(accounts, _AT_A_TIME)):
                yield from self._accounts(some, databases)
        for names in databases.values():  # of accounts that are not there
            yield from (self._left(name) for name in names)
        yield from (violation("database_user_left", name, f"on {self.server.name}") for name in users)

    def _inventory(self) -> Inventory:
        ask: Callable[[], Inventory] | None = getattr(self.server, "inventory", None)
        if ask is None:
            raise CannotBeAsked("its driver cannot say what stands on it")
        return ask()

    def _databases(self) -> tuple[dict[str, list[str]], Sequence[str]]:
        """Return our databases by their accounts' usernames, and those of our users that have no database."""
        by_account: dict[str, list[str]] = defaultdict(list)
        if self.server.databases is None:
            return by_account, ()
        names = [name for name in self.server.databases.names("") if account_of_database(name)]
        for name in names:
            by_account[str(account_of_database(name))].append(name)
        list_users: Callable[[], list[str]] = getattr(self.server.databases, "users", list)
        return by_account, sorted({user for user in list_users() if account_of_database(user)} - set(names))

    def _accounts(self, accounts: Sequence[Account], databases: dict[str, list[str]]) -> Iterator[Violation]:
        """Check some accounts, and take their databases from the others."""
        installs = self._installs([account.row.order_id for account in accounts if account.row])
        for account in accounts:
            theirs = databases.pop(account.username, [])
            if account.row is None:
                of = account.standing.marker if account.standing else None
                detail = f"on {self.server.name}, created for {f'order {of}' if of else 'nobody knows which order'}"
                yield violation("account_without_order", account.username, detail)
            elif account.standing is None:
                if account.row.has_account and account.row.updated_at <= self.now - self.grace:
                    yield violation(
                        "account_missing", account.row.order_id, f"{account.username} on {self.server.name}"
                    )
            elif account.standing.marker != account.row.order_id:
                detail = f"{account.username} on {self.server.name} was created for {account.standing.marker}"
                yield violation("account_of_another", account.row.order_id, detail)
            else:
                yield from self._site(account, installs.get(account.row.order_id, ()), theirs)

    def _installs(self, order_ids: Sequence[str]) -> Mapping[str, Sequence[InstallFacts]]:
        with self.stores.installer.reading() as connection:
            found = groupby(installer.facts(connection, order_ids), key=lambda install: install.order_id)
            return {order_id: sorted(some, key=lambda one: one.generation) for order_id, some in found}

    def _site(
        self, account: Account, installs: Sequence[InstallFacts], databases: Iterable[str]
    ) -> Iterator[Violation]:
        """Check what is in an account, unless a run may be changing it."""
        recently = self.now - self.grace
        if any(one.state not in INSTALL_ENDS or one.touched_at > recently for one in installs):
            return
        site = look(self.server.home(account.username))
        done = [install for install in installs if install.state == State.INSTALLED]
        yield from self._marker(account, site, done[-1] if done else None)
        used = site.marker.database if site.marker else None
        yield from (self._left(name) for name in databases if name != used)
        if used and self.server.databases is not None and used not in databases:
            yield violation("database_missing", account.username, f"{used} on {self.server.name}")
        for tree in site.leftovers:
            with suppress(FileNotFoundError):
                if tree.lstat().st_mtime < (self.now - _STALE).timestamp():
                    yield violation("tree_left", str(tree), f"on {self.server.name}")

    def _marker(self, account: Account, site: Site, install: InstallFacts | None) -> Iterator[Violation]:
        stands = site.marker.install_id if site.marker else None
        recorded = install.install_id if install else None
        place = f"{account.username} on {self.server.name}"
        if site.is_swapping:
            yield violation("site_differs", account.username, f"{place}: an exchange was begun and not finished")
        elif stands != recorded and (stands or (install and self.leaves_markers(install.site_type))):
            detail = f"{place} has the site of {stands or 'no install'}; installed was {recorded or 'none'}"
            yield violation("site_differs", account.username, detail)

    def _left(self, name: str) -> Violation:
        return violation("database_left", name, f"on {self.server.name}")


def _joined(rows: Iterable[AccountFacts], standing: Iterable[Standing]) -> Iterator[Account]:
    """Bring together what has the same username; both come in the order of usernames."""
    streams: tuple[Iterable[AccountFacts | Standing], ...] = (rows, standing)
    by_username = attrgetter("username")
    for username, found in groupby(merge(*streams, key=by_username), key=by_username):
        both = list(found)
        row = next((it for it in both if isinstance(it, AccountFacts)), None)
        yield Account(username, row, next((it for it in both if isinstance(it, Standing)), None))
