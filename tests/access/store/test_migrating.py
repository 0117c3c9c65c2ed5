"""The tables are made by migrations: they and `tables` must be the same, whoever starts first."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gateway.access.store.database import Database, open_database
from gateway.access.store.migrating import NEWEST, configured
from gateway.access.store.tables import Table
from gateway.errors import AccessUnavailable
from tests.access.conftest import Place
from tests.harness.clock import PATIENCE_S
from tests.harness.postgresql import PostgreSQL


@pytest.fixture(params=["sqlite", "postgresql"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a store will be."""
    if request.param == "sqlite":
        yield tmp_path / "access.db"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with server.lend(empty=True) as url:
        yield url


def test_what_the_code_is_written_for_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(configured()).get_heads() == [NEWEST]


def test_an_empty_database_is_brought_to_the_newest_version(nowhere: Place) -> None:
    with closing(open_database(nowhere)) as database:
        database.migrate()
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == NEWEST
            assert connection.execute(text("SELECT id, revision FROM change")).all() == [(1, 0)]
            assert set(inspect(connection).get_table_names()) == {*Table.metadata.tables, "alembic_version"}


def test_migrations_and_tables_say_the_same(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_what_is_deleted_takes_with_it_what_the_tables_say(database: Database) -> None:
    """Alembic does not compare ON DELETE on SQLite."""
    declared = {
        (table.name, key.column_keys[0], key.ondelete) for table in Table.metadata.tables.values() for key in table.foreign_key_constraints
    }
    looker = inspect(database.engine)
    made = {
        (name, key["constrained_columns"][0], key["options"].get("ondelete"))
        for name in Table.metadata.tables
        for key in looker.get_foreign_keys(name)
    }
    assert made == declared


def test_a_store_of_this_version_is_left_as_it_is(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE change SET revision = 7"))
    database.migrate()
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT revision FROM change")).scalar() == 7


def test_a_store_of_a_later_version_is_refused_and_left_as_it_is(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(AccessUnavailable, match="version that this release does not know"):
        database.migrate()
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


@pytest.mark.parametrize("_", range(3))
def test_of_many_that_start_at_once_one_makes_the_tables_and_the_others_find_them(nowhere: Place, _: int) -> None:
    start = threading.Barrier(4)

    def begin(_: int) -> None:
        start.wait(PATIENCE_S)
        with closing(open_database(nowhere)) as database:
            database.migrate()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(begin, range(4)))
    with closing(open_database(nowhere)) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT id, revision FROM change")).all() == [(1, 0)]


def test_tables_that_cannot_all_be_made_are_not_made_at_all(nowhere: Place) -> None:
    with closing(open_database(nowhere)) as database:
        with database.engine.begin() as connection:
            connection.execute(text("CREATE TABLE secret (anything INTEGER)"))
        with pytest.raises(AccessUnavailable):
            database.migrate()
        assert set(inspect(database.engine).get_table_names()) == {"secret"}
