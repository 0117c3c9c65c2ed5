"""The tables' shape, version by version: `migrations/versions`, run by Alembic where the database is not of the newest."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect, text

from gateway.errors import AccessUnavailable

_FOLDER = Path(__file__).parent / "migrations"
NEWEST = "0001"
"""The version this code is written for; a test holds it to the newest in the folder."""


def migrate(engine: Engine) -> None:
    """Bring an empty or older database to the newest version. Two processes that start at once wait for one another.

    Raises AccessUnavailable where the database is of a version that this code does not know.
    """
    version = _version(engine)
    if version == NEWEST:
        return
    from alembic import command  # noqa: PLC0415 - a tenth of a second, at the first start alone
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = configured()
    postgresql = engine.dialect.name == "postgresql"
    # not serializable there: who has waited for the lock must see what the one before it has made
    with (engine.execution_options(isolation_level="READ COMMITTED") if postgresql else engine).begin() as connection:
        if postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(7164112)"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise AccessUnavailable(
                "The store of access control is of a version that this release does not know: it was last opened by a later one."
            ) from None


def configured() -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
