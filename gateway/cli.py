"""`feature-gateway`: the demo, the server, and keys for it; the other commands stand in `commands`."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.access.keys import digest, new_key
from gateway.commands.apply import apply
from gateway.commands.audit import audit
from gateway.commands.check import check
from gateway.commands.discover import discover
from gateway.commands.explain import explain
from gateway.commands.ingest import ingest
from gateway.commands.keys import keys
from gateway.commands.secrets import secrets_commands
from gateway.commands.simulate import simulate
from gateway.commands.telling import given, told_plainly
from gateway.demo import definitions
from gateway.demo.flights import ROWS
from gateway.demo.load import load, loaded
from gateway.embedded import definitions as check_definitions
from gateway.embedded import open_engine
from gateway.hosting.listener import Listeners
from gateway.hosting.running import end_when_told
from gateway.hosting.running import serve as serve_on
from gateway.settings import Settings, SettingsError
from gateway.settings import load as load_settings

_STEP = 3_000


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="feature-gateway")
def main() -> None:
    """Features by name, validated and cached, in front of a Tecton cluster or on the embedded feature server.

    \b
    Examples:
      feature-gateway demo
      feature-gateway serve --origin tecton --tecton-url https://mycluster.tecton.ai
      feature-gateway check --config gateway.toml && feature-gateway serve --config gateway.toml
      feature-gateway check features/ && feature-gateway apply features/
      feature-gateway ingest orders data/orders-2024-*.csv.gz
    """


main.add_command(check)
main.add_command(apply)
main.add_command(ingest)
main.add_command(discover)
main.add_command(simulate)
main.add_command(explain)
main.add_command(keys)
main.add_command(audit)
main.add_command(secrets_commands)


@main.command()
@click.option("--port", default=8080, show_default=True, help="Port on 127.0.0.1; 0 lets the system choose.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Path(click.get_app_dir("feature-gateway")) / "demo",
    show_default="a folder of your own",
    help="Where the demo keeps its online store and its key.",
)
def demo(port: int, data_dir: Path) -> None:
    """Two weeks of New York flights, served from the embedded feature server.

    Loads 12,004 flights of January 2013 through the ingest path into SQLite (once: a second start finds them there), then serves
    them on 127.0.0.1 as of the end of that data, and prints what to paste.

    \b
    Examples:
      feature-gateway demo
      feature-gateway demo --port 9000 --data-dir /tmp/flights
    """
    with told_plainly():
        key = _demo_key(data_dir)
        settings = load_settings(
            overrides={
                "server": {"port": port, "workers": 1, "drain_s": 0},
                "auth": {"keys": {"demo": {"digest": digest(key), "workspaces": ["*"], "ingest": True, "purge": True}}},
                "feature_server": {"definitions": "gateway.demo.definitions:REPOSITORY", "data_dir": data_dir, "as_of": definitions.AS_OF},
            }
        )
        with _listen(settings) as listeners:
            _load_flights(settings)
            url = _url("http", listeners.main)
            _serve(settings, listeners, _welcome(url, key))


@main.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML or YAML file of settings.")
@click.option("--origin", type=click.Choice(["embedded", "tecton"]), help="Where features come from.")
@click.option("--tecton-url", help="Base URL of the Tecton cluster.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 lets the system choose.")
@click.option("--operations-port", type=int, help="Port of its own for probes, metrics and objectives.")
@click.option("--workers", type=int, help="Processes that serve them.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of the embedded server's online store.")
def serve(
    config: Path | None,
    origin: str | None,
    tecton_url: str | None,
    host: str | None,
    port: int | None,
    operations_port: int | None,
    workers: int | None,
    data_dir: Path | None,
) -> None:
    """Serve, by settings file, FEATURE_GATEWAY_* variables and these options (the later wins).

    Before a cluster, callers' own credentials are passed through, and the cluster judges them. Otherwise, and with one key for the
    cluster (FEATURE_GATEWAY_ORIGIN__API_KEY), callers need keys of the gateway's own: the first start prints an admin's, and
    `feature-gateway keys` makes more. The embedded feature server serves the definitions that `feature-gateway apply` put in force
    in its data folder, and takes up new ones while it runs.

    \b
    Examples:
      feature-gateway serve --origin tecton --tecton-url https://mycluster.tecton.ai
      FEATURE_GATEWAY_CACHE__TTL_S=300 feature-gateway serve --config gateway.toml --port 9000
    """
    overrides: dict[str, Any] = {
        "origin": given(kind=origin, url=tecton_url),
        "server": given(host=host, port=port, operations_port=operations_port, workers=workers),
        "feature_server": given(data_dir=data_dir),
    }
    with told_plainly():
        settings = load_settings(config, overrides)
        if settings.auth_mode == "keys" and settings.access_store == "none" and not settings.auth.keys:
            raise SettingsError("auth.keys: there are none, and auth.store is none, so nobody could read. Leave auth.store out.")
        if settings.auth_mode == "open":
            click.secho("auth.mode is open: whoever reaches this port reads everything.", fg="red", bold=True, err=True)
        with _listen(settings) as listeners:
            end_when_told()
            if settings.origin.kind == "embedded":
                check_definitions(settings)
            _first_start(settings)
            scheme = "http" if settings.server.tls_certificate_file is None else "https"
            told = f"Serving on {_url(scheme, listeners.main)} (origin: {settings.origin.kind}, auth: {settings.auth_mode})"
            if listeners.operations is not None:
                told += f", operations on {_url('http', listeners.operations)}"
            _serve(settings, listeners, told, lambda: load_settings(config, overrides))


@main.command("new-key")
@click.argument("name")
@click.option("--workspace", "workspaces", multiple=True, default=["*"], show_default=True, help="Workspace it may read; may be repeated.")
@click.option("--ingest", is_flag=True, help="Let it write to /ingest too.")
@click.option("--purge", is_flag=True, help="Let it purge the cache too.")
def new_key_command(name: str, workspaces: tuple[str, ...], ingest: bool, purge: bool) -> None:  # noqa: FBT001 - click's signature
    """Make an API key of the gateway's own: the key on stdout, once, and the settings that admit it on stderr.

    \b
    Example:
      feature-gateway new-key fraud-model --workspace prod > fraud-model.key
    """
    key = new_key()
    listed = ", ".join(f'"{workspace}"' for workspace in workspaces)
    rights = f"ingest = {str(ingest).lower()}\npurge = {str(purge).lower()}"
    click.echo(f'[auth.keys."{name}"]\ndigest = "{digest(key)}"\nworkspaces = [{listed}]\n{rights}', err=True)
    click.echo(key)


@contextmanager
def _listen(settings: Settings) -> Iterator[Listeners]:
    """The listening sockets, made before anything slow, so that a taken port is told at once."""
    server = settings.server
    with _listener(server.host, server.port, "port") as main:
        if server.operations_port is None:
            yield Listeners(main)
            return
        with _listener(server.operations_host or server.host, server.operations_port, "operations-port") as operations:
            yield Listeners(main, operations)


def _listener(host: str, port: int, option: str) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)
    except OSError as error:
        setting = f"server.{option.replace('-', '_')}"
        raise SettingsError(
            f"{setting}: cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}). Choose another with --{option}."
        ) from error


def _url(scheme: str, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _first_start(settings: Settings) -> None:
    """Where nobody could administer the gateway: an admin's key, on stdout this once. Before there are several processes."""
    if settings.access_store == "none":
        return
    from gateway.administering import first_key  # noqa: PLC0415 - a third of a second, where there is a store

    key = first_key(settings)
    if key is not None:
        click.echo(f"Key of the service account admin, shown only now: {key}")


def _demo_key(data_dir: Path) -> str:
    """The demo's key: made at the first start, kept beside its data, readable by its owner alone."""
    file = data_dir / "demo-key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not file.exists() or not file.read_text().strip():
            file.unlink(missing_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as fresh:
                fresh.write(new_key())
        return file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"--data-dir: {data_dir} cannot be used ({error.strerror})") from error


def _load_flights(settings: Settings) -> None:
    """Bring in what the store lacks. Says nothing where it lacks nothing."""
    engine = open_engine(settings)
    try:
        if loaded(engine):
            return
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, console=Console(stderr=True)) as bar:
                task = bar.add_task("Ingesting flights", total=ROWS)
                load(engine, lambda stored: bar.update(task, completed=stored))
        else:
            load(engine, _plain_progress())
    finally:
        engine.close()


def _plain_progress() -> Callable[[int], None]:
    told = 0

    def progress(stored: int) -> None:
        nonlocal told
        if stored - told >= _STEP or stored == ROWS:
            told = stored
            click.echo(f"Ingesting flights: {stored:,} of {ROWS:,}", err=True)

    return progress


def _serve(settings: Settings, listeners: Listeners, told: str, load: Callable[[], Settings] | None = None) -> None:
    faults = settings.feature_server.faults.active

    def started() -> None:
        if faults:
            named = ", ".join(faults)
            click.secho(f"The fault lab is on ({named}): the feature server misbehaves on purpose.", fg="red", bold=True, err=True)
        click.echo(told)

    serve_on(settings, listeners, started, load)


def _welcome(url: str, key: str) -> str:
    """What to paste: one read, on the named door and through the official client."""
    return f"""
Serving {url} as of {definitions.AS_OF}    docs: {url}/docs    console: {url}/console

API key: {key}

Features by name:

  curl -s {url}/v1/workspaces/prod/feature-services/flight_delay/features \\
    -H 'Authorization: Tecton-key {key}' \\
    -d '{{"joinKeys":{{"origin":"JFK","dest":"LAX","carrier":"AA","tailnum":"N338AA"}},
         "requestContext":{{"planned_air_time":330}}, "include":["source"]}}'

The same through Tecton's own client (pip install tecton-client):

  from tecton_client import MetadataOptions, TectonClient
  client = TectonClient(
      url="{url}",
      api_key="{key}",
      default_workspace_name="prod",
  )
  answer = client.get_features(
      feature_service_name="flight_delay",
      join_key_map={{"origin": "JFK", "dest": "LAX", "carrier": "AA", "tailnum": "N338AA"}},
      request_context_map={{"planned_air_time": 330.0}},
      metadata_options=MetadataOptions.all(),
  )
  print(answer.get_features_dict())

Stop with Ctrl+C.
"""
