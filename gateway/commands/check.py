"""`feature-gateway check`: whether the settings make sense, and which hold; whether a feature repository does, what is in it, and what
applying it would do to stored data."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from gateway.commands.effective import show_example, tell_settings
from gateway.commands.telling import config_option, fail, given, told_plainly
from gateway.embedded import ONLINE_STORE, open_store
from gateway.feature_server import migration
from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import CONTINUOUS, FeatureView, Repository, Workspace, spell_duration
from gateway.feature_server.folder import load
from gateway.feature_server.migration import Fate, Outlook
from gateway.settings import Settings
from gateway.settings import load as load_settings


class _Listing(NamedTuple):
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Tell what applying would do to the data in this folder."
)
@config_option
@click.option("--start-empty", metavar="WORKSPACE.VIEW", multiple=True, help="As it would be given to apply; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Of settings, those at their defaults too.")
@click.option("--json", "as_json", is_flag=True, help="Settings as JSON.")
@click.option("--example", "wants_example", is_flag=True, help="Print a file of all settings instead, with what each means.")
def check(
    folder: Path | None,
    data_dir: Path | None,
    config: Path | None,
    start_empty: tuple[str, ...],
    *,
    everything: bool,
    as_json: bool,
    wants_example: bool,
) -> None:
    """Check the settings and tell which hold, each with its source; with DIR, check the feature repository there and tell what is in it.
    Changes nothing.

    Settings come from --config (TOML, or YAML by its suffix) and from FEATURE_GATEWAY_* variables; secrets are shown as asterisks.
    Exit status 0 where it makes sense and, with --data-dir, could be applied; else 2, with every mistake by name, or file and line.
    On-demand functions are imported, which runs the Python files of DIR.

    \b
    Examples:
      feature-gateway check --config gateway.toml
      feature-gateway check --example > gateway.toml
      feature-gateway check features/
      feature-gateway check features/ --data-dir /var/lib/feature-gateway
    """
    with told_plainly():
        if wants_example:
            show_example()
        elif folder is None:
            tell_settings(config, everything=everything, as_json=as_json)
        else:
            _check_repository(folder, data_dir, config, start_empty)


def _check_repository(folder: Path, data_dir: Path | None, config: Path | None, start_empty: tuple[str, ...]) -> None:
    settings = load_settings(config, {"feature_server": given(data_dir=data_dir)})
    repository = load(folder)
    _show([listing for workspace in repository.workspaces for listing in _contents(workspace)])
    if data_dir is not None or config is not None:
        fates = _outlook(settings, repository, start_empty)
        where = settings.feature_server.data_dir
        _show([_Listing(f"Stored data in {where}", ("feature view", "applying this"), [_fate(one) for one in fates])])
        if any(one.fate is Fate.REFUSED for one in fates):
            advice = "keep their definitions, or let them start empty (--start-empty WORKSPACE.VIEW) and ingest their source again."
            fail(f"This cannot be applied as it is. Of the views that are refused: {advice}", 2)
    click.echo(f"{folder} makes sense.")


def _contents(workspace: Workspace) -> Iterator[_Listing]:
    sources = [
        (source.name, ", ".join(column.name for column in source.columns), source.timestamp, ", ".join(source.record_key))
        for source in workspace.sources
    ]
    yield _Listing(f"Workspace {workspace.name}: sources", ("source", "columns", "timestamp", "record key"), sources)
    views = [
        (view.name, view.source, ", ".join(view.join_keys), str(_count(view)), _interval(view), _ttl(view)) for view in workspace.views
    ]
    columns = ("feature view", "source", "join keys", "features", "interval", "ttl")
    yield _Listing(f"Workspace {workspace.name}: feature views", columns, views)
    if workspace.on_demand:
        computed = [(view.name, ", ".join(name for name, _ in view.inputs), str(len(view.outputs))) for view in workspace.on_demand]
        yield _Listing(f"Workspace {workspace.name}: on-demand views", ("on-demand view", "reads", "features"), computed)
    services = [(service.name, ", ".join(use.name for use in service.uses)) for service in workspace.services]
    yield _Listing(f"Workspace {workspace.name}: feature services", ("feature service", "views"), services)


def _count(view: FeatureView) -> int:
    return len(view.aggregations) + len(view.attributes)


def _interval(view: FeatureView) -> str:
    if view.attributes:
        return "-"
    return CONTINUOUS if view.interval_s is None else spell_duration(view.interval_s)


def _ttl(view: FeatureView) -> str:
    return "-" if view.ttl_s is None else spell_duration(view.ttl_s)


def _outlook(settings: Settings, repository: Repository, start_empty: tuple[str, ...]) -> list[Outlook]:
    catalog = Catalog(repository)
    server = settings.feature_server
    if server.store == "sqlite" and not (server.data_dir / ONLINE_STORE).exists():
        return [Outlook(view.workspace, view.name, Fate.EMPTY, view) for view in catalog.views]
    store = open_store(settings)
    try:
        return migration.outlook(store, catalog, time.time_ns(), start_empty)
    finally:
        store.close()


def _fate(one: Outlook) -> tuple[str, str]:
    told = {
        Fate.KEPT: "keeps its data as it is",
        Fate.EMPTY: "is new, and starts empty",
        Fate.RETIRED: "is retired: takes in no more events, and its data is removed later",
        Fate.REFUSED: f"is refused: it {one.reason}",
        Fate.COPIED: "",
    }[one.fate]
    if one.copy is not None:
        own = one.copy.descriptor.view == one.view
        told = f"is stored anew, with {'its own' if own else 'the'} history{'' if own else f' of {one.copy.descriptor.view}'}"
    return f"{one.workspace}.{one.view}", told


def _show(listings: Sequence[_Listing]) -> None:
    console = Console() if sys.stdout.isatty() else None
    for listing in listings:
        if console is not None:
            table = Table(*listing.columns, title=listing.title, title_justify="left", title_style="bold")
            for row in listing.rows:
                table.add_row(*row)
            console.print(table)
            continue
        click.echo(listing.title)
        for row in listing.rows:
            rest = "; ".join(f"{name}: {value}" for name, value in zip(listing.columns[1:], row[1:], strict=True) if value)
            click.echo(f"  {row[0]}  {rest}" if len(listing.columns) > 2 else f"  {row[0]}  {row[1]}")
