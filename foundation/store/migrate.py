"""Running the migrations of Alembic from inside the service, at start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from foundation.errors import ConfigurationError

HERE = Path(__file__).parent / "migrations"
_LOCK = 0x73697465  # any number, the same in every replica


def upgrade(engine: Engine, folders: Sequence[Path]) -> None:
    """Upgrade to the newest revision of every folder, in one transaction that replicas take in turn. Raises
    ConfigurationError if the database is of a version that is unknown here."""
    from alembic import command  # noqa: PLC0415 - slow to import, and whoever only reads does without
    from alembic.script.revision import RevisionError  # noqa: PLC0415 - likewise
    from alembic.util import CommandError  # noqa: PLC0415

    with engine.begin() as connection:
        _take_turn(connection)
        try:
            command.upgrade(_config(connection, folders), "heads")
        except (CommandError, RevisionError) as error:
            place = engine.url.set(query={}).render_as_string(hide_password=True)
            raise ConfigurationError(
                f"the database {place} is of another version of Sitecrew, or another service's ({error}): "
                "run that version, or check store_url"
            ) from None


def is_newest(engine: Engine, folders: Sequence[Path]) -> bool:
    """Whether the database is at the newest revision of every folder, and at none that is unknown here."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - likewise
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.script.revision import RevisionError  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    with engine.connect() as connection:
        script = ScriptDirectory.from_config(_config(connection, folders))
        current = MigrationContext.configure(connection).get_current_heads()
        try:
            # What others depend on is applied, but no longer written down.
            applied = {revision.revision for revision in script.iterate_revisions(current, "base")}
        except (CommandError, RevisionError):
            return False
        return set(script.get_heads()) <= applied


def _take_turn(connection: Connection) -> None:
    # SQLite's BEGIN IMMEDIATE has taken the turn already.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # a replica's migration may take its time
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _config(connection: Connection, folders: Sequence[Path]) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, [HERE / "versions", *folders])))
    config.attributes["connection"] = connection
    return config
