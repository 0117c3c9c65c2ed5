"""What `feature-gateway check` tells of settings: those that hold, each with its source; or an example of a file of all."""

import json
from pathlib import Path

import click

from gateway.commands.telling import show_rows
from gateway.settings import Loaded, read
from gateway.settings.telling import DEFAULT, Told, effective, example


def tell_settings(config: Path | None, *, everything: bool, as_json: bool) -> None:
    """Raises SettingsError with every mistake."""
    loaded = read(config)
    told = [one for one in effective(loaded) if everything or one.source != DEFAULT]
    if as_json:
        click.echo(json.dumps([one._asdict() for one in told], indent=2, ensure_ascii=False))
        return
    show_rows(("setting", "value", "source"), told)
    click.echo(_summary(loaded, told, everything=everything), err=True)


def _summary(loaded: Loaded, told: list[Told], *, everything: bool) -> str:
    settings = loaded.settings
    rest = "" if everything else f"{len(told)} settings are not the default's; --all shows the others too. "
    return (
        f"{rest}These settings work together (origin: {settings.origin.kind}, auth: {settings.auth_mode}, store: {settings.access_store})."
    )


def show_example() -> None:
    click.echo(example(), nl=False)
