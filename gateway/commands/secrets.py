"""`feature-gateway secrets`: the key-encryption key, and what is sealed under it. Beside running gateways."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.progress import counted
from gateway.commands.stores import store_settings
from gateway.commands.telling import config_option, fail, told_plainly
from gateway.settings import Settings, SettingsError

if TYPE_CHECKING:
    from gateway.access.rekeying import Survey
    from gateway.access.store.database import Database

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Data folder of the gateway, with its access.db."
)


@click.group("secrets")
def secrets_commands() -> None:
    """The key that secrets are sealed under.

    \b
    Examples:
      feature-gateway secrets status --data-dir /var/lib/feature-gateway
      feature-gateway secrets rotate-kek --config gateway.toml
      feature-gateway secrets new-kek > access.kek
    """


@secrets_commands.command("new-kek")
def new_kek_command() -> None:
    """Make a key-encryption key, for `auth.kek_file` or `auth.kek`: 32 random bytes in base64, on stdout."""
    from gateway.access.sealing import new_kek  # noqa: PLC0415 - what it stands on takes a tenth of a second

    click.echo(new_kek())


@secrets_commands.command()
@data_dir_option
@config_option
def status(data_dir: Path | None, config: Path | None) -> None:
    """How much is sealed, under which key, and whether all of it opens. Exit status 1 where it does not."""
    from gateway.access.rekeying import survey  # noqa: PLC0415
    from gateway.access.sealing import Sealer  # noqa: PLC0415
    from gateway.access.vault import has_begun  # noqa: PLC0415
    from gateway.sealing_keys import keks_of  # noqa: PLC0415

    with told_plainly():
        settings = store_settings(config, data_dir)
        with _opened(settings) as database:
            if not has_begun(database):
                click.echo("Nothing was ever sealed here.")
                return
            sealer = Sealer(keks_of(settings))
            _tell(database.transact(lambda session: survey(session, sealer), writes=False), sealer.kek_ids)


@secrets_commands.command("rotate-kek")
@data_dir_option
@config_option
@click.option("--drop-old", is_flag=True, help="Forget the key before at once. Without it, the next rotation does.")
def rotate_kek(data_dir: Path | None, config: Path | None, drop_old: bool) -> None:  # noqa: FBT001 - click's signature
    """Seal everything under another key-encryption key.

    Where the settings name no key, one is made here, and put before the old one in access.kek; running gateways take it up. Where they do,
    everything is put under `auth.kek_file` (or `auth.kek`), with the keys of `auth.kek_previous_files` to open it. Whenever this is
    interrupted, everything opens under the keys that are there, and running it again finishes it.
    """
    from gateway.sealing_keys import kek_file  # noqa: PLC0415

    with told_plainly():
        settings = store_settings(config, data_dir)
        file = kek_file(settings)
        with _alone(file), _opened(settings) as database:
            if file is not None:
                _prepare(file, database)
            done, kek_id = _rotate(settings, database)
            if file is not None:
                _forget(file, keep=1 if drop_old else 2)
    click.echo(f"{done:,} values are sealed under {kek_id}.")
    if file is None:
        click.echo("Once every gateway has this key, the keys before it can be left out of auth.kek_previous_files.")
    elif not drop_old:
        click.echo(f"The key before it stays in {file}, for what a gateway may seal this moment; the next rotation forgets it.")


def _rotate(settings: Settings, database: "Database") -> tuple[int, str]:
    from gateway.access.rekeying import how_many  # noqa: PLC0415
    from gateway.access.sealing import Sealer  # noqa: PLC0415
    from gateway.access.shell import Shell  # noqa: PLC0415
    from gateway.sealing_keys import keks_of  # noqa: PLC0415

    sealer = Sealer(keks_of(settings))
    with counted("Sealing again", database.transact(how_many, writes=False)) as progress:
        return Shell(database).rewrap(sealer, progress), sealer.kek_id


def _prepare(file: Path, database: "Database") -> None:
    """A fresh key before the others; none where a rotation that was interrupted has put it there, and not used it."""
    from gateway.access.rekeying import kek_in_use  # noqa: PLC0415
    from gateway.access.sealing import KEK_BYTES, Sealer, read_keks, replace_keks  # noqa: PLC0415

    try:
        keks = read_keks(file)
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    in_use = database.transact(kek_in_use, writes=False)
    if in_use is None or in_use == Sealer(keks).kek_id:
        replace_keks(file, [secrets.token_bytes(KEK_BYTES), *keks])


def _forget(file: Path, keep: int) -> None:
    from gateway.access.sealing import read_keks, replace_keks  # noqa: PLC0415

    replace_keks(file, read_keks(file)[:keep])


def _tell(told: "Survey", kek_ids: Sequence[str]) -> None:
    click.echo(f"{told.secrets:,} secrets in {told.scopes:,} scopes, {told.signing_keys:,} signing keys.")
    for kek_id in dict.fromkeys([*kek_ids, *told.under]):
        missing = "" if kek_id in kek_ids else ", which is not at hand"
        click.echo(f"{told.under.get(kek_id, 0):,} of them are sealed under {kek_id}{missing}.")
    for name in told.refused:
        click.secho(f"Does not open: {name}", fg="red", err=True)
    if told.sealed is not None:
        click.secho(told.sealed, fg="red", err=True)
    if told.refused or told.sealed is not None:
        fail("Secrets are sealed, or some of them.", 1)


@contextmanager
def _opened(settings: Settings) -> Iterator["Database"]:
    from gateway.administering import open_store  # noqa: PLC0415 - a third of a second, which other commands need not wait for

    database = open_store(settings)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    """One rotation at a time in a folder: the next one waits."""
    if file is None:
        yield
        return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
