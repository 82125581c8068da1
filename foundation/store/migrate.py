"""Run Alembic migrations from inside the service, at start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from foundation.errors import ConfigurationError

HERE = Path(__file__).parent / "migrations"
_LOCK = 0x73697465  # an arbitrary number, the same in every replica


def upgrade(engine: Engine, folders: Sequence[Path]) -> None:
    """Upgrade to the newest revision of every folder, in one transaction; replicas wait for each other.

    Raises ConfigurationError if the database has a revision that is unknown here.
    """
    from alembic import command  # noqa: PLC0415 - slow to import, and not needed to read
    from alembic.script.revision import RevisionError  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    with engine.begin() as connection:
        _lock(connection)
        try:
            command.upgrade(_config(connection, folders), "heads")
        except (CommandError, RevisionError) as error:
            place = engine.url.set(query={}).render_as_string(hide_password=True)
            raise ConfigurationError(
                f"the database {place} belongs to another version of Sitecrew or to another service ({error}): "
                "run that version, or check store_url"
            ) from None


def is_newest(engine: Engine, folders: Sequence[Path]) -> bool:
    """Whether the database is at the newest revision of every folder, and at none that is unknown here."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.script.revision import RevisionError  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    with engine.connect() as connection:
        script = ScriptDirectory.from_config(_config(connection, folders))
        current = MigrationContext.configure(connection).get_current_heads()
        try:
            # The database only records the heads; the revisions below them are applied as well.
            applied = {revision.revision for revision in script.iterate_revisions(current, "base")}
        except (CommandError, RevisionError):
            return False
        return set(script.get_heads()) <= applied


def _lock(connection: Connection) -> None:
    # On SQLite, BEGIN IMMEDIATE has taken the lock already.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # another replica's migration may take long
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _config(connection: Connection, folders: Sequence[Path]) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, [HERE / "versions", *folders])))
    config.attributes["connection"] = connection
    return config
