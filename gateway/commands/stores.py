"""The store of access control, opened for a command beside the servers that use it."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.commands.telling import config_option, fail, given, told_plainly
from gateway.errors import CallerError
from gateway.settings import Settings, SettingsError
from gateway.settings import load as load_settings

if TYPE_CHECKING:
    from gateway.access.shell import Shell

F = TypeVar("F", bound=Callable[..., Any])


def store_options(command: F) -> F:
    """Where the store is: `config`, `data_dir` and `database` of the command."""
    options = (
        click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Data folder of the server, with its access.db."),
        click.option(
            "--database", metavar="URL", help="Its PostgreSQL database; others see the command line, so rather set it in --config."
        ),
        config_option,
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


@contextmanager
def opened(config: Path | None, data_dir: Path | None, database: str | None, *, new: bool = False) -> Iterator["Shell"]:
    """`new`: whether there need be none yet. What is wrong is told, and ends the command."""
    with told_plainly():
        from gateway.access.shell import Shell  # noqa: PLC0415 - a third of a second, which the other commands need not wait for
        from gateway.administering import open_at, open_store  # noqa: PLC0415

        store = open_at(database, "--database") if database is not None else open_store(store_settings(config, data_dir, new=new))
        try:
            store.migrate()
            yield Shell(store)
        except CallerError as error:
            fail(error.message, 2)
        finally:
            store.close()


def store_settings(config: Path | None, data_dir: Path | None, *, new: bool = False) -> Settings:
    """Settings that name a store. Raises SettingsError."""
    from gateway.administering import FILE  # noqa: PLC0415
    from gateway.sealing_keys import access_folder  # noqa: PLC0415

    folder = given(data_dir=data_dir)
    chosen = folder | ({"mode": "keys", "store": "sqlite"} if folder else {})
    settings = load_settings(config, {"feature_server": folder, "auth": chosen})
    if settings.access_store == "none":
        raise SettingsError("auth.store: these settings have no store of access control. Set it to sqlite, or name one with --data-dir.")
    if settings.access_store == "sqlite" and not new and not (access_folder(settings) / FILE).exists():
        where = access_folder(settings)
        raise SettingsError(f"--data-dir: there is no {FILE} in {where}. Name the server's data folder, or its --config.")
    return settings
