"""`feature-gateway apply`: puts a feature repository in force."""

from pathlib import Path

import click

from gateway.applying import apply as put_in_force
from gateway.commands.telling import config_option, copying, given, told_plainly
from gateway.settings import load as load_settings


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Data folder of the feature server.")
@config_option
@click.option("--start-empty", metavar="WORKSPACE.VIEW", multiple=True, help="A view that may begin without history; may be repeated.")
def apply(folder: Path, data_dir: Path | None, config: Path | None, start_empty: tuple[str, ...]) -> None:
    """Put the feature repository in DIR in force.

    DIR is checked, copied below the data folder, and numbered. Where no server uses the data folder, stored data is migrated here; else
    the running server does it, while it goes on serving, and this waits for it. Views that are new or have changed get their history from
    the events of other views of their source. What cannot be done is refused, and the definitions before stay in force.

    \b
    Examples:
      feature-gateway apply features/
      feature-gateway apply features/ --data-dir /var/lib/feature-gateway
      feature-gateway apply features/ --start-empty prod.user_spend
    """
    with told_plainly():
        settings = load_settings(config, {"feature_server": given(data_dir=data_dir)})
        with copying() as progress:
            applied = put_in_force(settings, folder, start_empty, progress)
        where = settings.feature_server.data_dir
        if not applied.changed:
            click.echo(f"Nothing to do: version {applied.version} in {where} has these definitions, and is in force.")
        else:
            served = ", and served" if applied.by_server else ""
            click.echo(f"Version {applied.version} is in force in {where}{served}.")
        if settings.feature_server.definitions is not None:
            click.secho(
                "Servers with these settings do not serve it: feature_server.definitions names other definitions.", fg="red", err=True
            )
