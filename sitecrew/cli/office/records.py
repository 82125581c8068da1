"""Reading the services' databases, so that one that is missing does not hide the others."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from foundation.config.settings import Settings
from foundation.errors import StoreUnreachable
from sitecrew.cli.client import session
from sitecrew.cli.output import terminal

Found = TypeVar("Found")
Other = TypeVar("Other")


class Records:
    """The databases of all services. Those that cannot be read are reported, and fatal only if it is all of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.absent: list[StoreUnreachable] = []
        self._read = 0

    def orders(self, read: Callable[[Connection], Found], without: Other) -> Found | Other:
        """What `read` returns for order intake's database; `without` if that cannot be read."""
        return self._look("order-intake", read, without)

    def installs(self, read: Callable[[Connection], Found], without: Other) -> Found | Other:
        """The same for the installer's database."""
        return self._look("installer", read, without)

    def letters(self, read: Callable[[Connection], Found], without: Other) -> Found | Other:
        """The same for the mailer's database."""
        return self._look("mailer", read, without)

    def require_one(self) -> None:
        """Raise StoreUnreachable if none could be read."""
        if self.absent and not self._read:
            raise self.absent[0]

    def tell(self) -> None:
        """Warn about those that could not be read."""
        for error in self.absent:
            terminal.warn(str(error))

    def _look(self, service: str, read: Callable[[Connection], Found], without: Other) -> Found | Other:
        try:
            with session.reading(self._settings, service) as connection:
                found = read(connection)
        except StoreUnreachable as error:
            self.absent.append(error)
            return without
        self._read += 1
        return found
