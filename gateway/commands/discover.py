"""`feature-gateway discover`: which join keys each view of a cluster's feature service depends on, found by asking."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.commands.findings import Told, as_json, as_toml, contradictions, evidence_of
from gateway.commands.samples import Row, affordable, requests_for, rows_given, samples_of, text_of, unvaried
from gateway.commands.telling import config_option, fail, given, told_plainly
from gateway.connecting import connector_of
from gateway.errors import (
    GatewayError,
    NotFound,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
    PermissionDenied,
    Unauthenticated,
)
from gateway.features import Caller, ServiceRef
from gateway.origins.base import WILDCARD, Description
from gateway.origins.discovery import Sample
from gateway.origins.probing import Prober, SampleRefused
from gateway.origins.tecton import TectonOrigin
from gateway.settings import Settings, SettingsError
from gateway.settings import load as load_settings

_ADVICE: Mapping[type[GatewayError], tuple[str, int]] = {
    Unauthenticated: ("Give a key of the cluster in FEATURE_GATEWAY_ORIGIN__API_KEY or --api-key-file.", 2),
    PermissionDenied: ("The key's service account must be allowed to read this workspace.", 2),
    NotFound: ("See that WORKSPACE and SERVICE are as the cluster spells them.", 2),
    OriginThrottled: ("Nothing was learnt. Try again later, with --concurrency 1 or fewer samples.", 1),
    OriginTimeout: ("Nothing was learnt. Give each request more time with --timeout, or try again later.", 1),
    OriginUnavailable: ("Nothing was learnt. See that --tecton-url is right, or try again later.", 1),
}


@click.command()
@click.argument("workspace")
@click.argument("service")
@click.option("--join-keys", "join_keys", metavar="JSON", multiple=True, help="A sample: all join keys of one row. Give two or more.")
@click.option("--request-context", "contexts", metavar="JSON", multiple=True, help="One for all samples, or one for each.")
@click.option(
    "--samples", type=click.Path(path_type=Path, dir_okay=False), help='JSONL of samples: {"joinKeys": {…}, "requestContext": {…}}.'
)
@click.option("--tecton-url", help="Base URL of the Tecton cluster.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with a key of the cluster.  [default: FEATURE_GATEWAY_ORIGIN__API_KEY]",
)
@config_option
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1, 4), help="Requests under way at most.")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, type=click.FloatRange(0.1, 60), help="Seconds for each request.")
@click.option("--max-requests", default=200, show_default=True, type=click.IntRange(1), help="Samples beyond this are left out.")
@click.option("--json", "in_json", is_flag=True, help="Tell all of it as JSON.")
def discover(
    workspace: str,
    service: str,
    join_keys: tuple[str, ...],
    contexts: tuple[str, ...],
    samples: Path | None,
    tecton_url: str | None,
    api_key_file: Path | None,
    config: Path | None,
    concurrency: int,
    timeout_s: float,
    max_requests: int,
    in_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Learn which join keys each view of SERVICE on a Tecton cluster depends on, and print the settings to paste.

    The cluster does not say; so it is asked for rows that it has features for, with one key at a time left out, or exchanged for that of
    another row, past its cache. A key is left out of a view's settings only where that view had values and never changed with it.
    Settings go to stdout; evidence, in counts, to stderr; join keys and feature values nowhere. Rows should differ in every key.

    \b
    Examples:
      feature-gateway discover prod fraud --tecton-url https://mycluster.tecton.ai --api-key-file tecton.key \\
        --join-keys '{"user_id": "u1", "merchant_id": "7"}' --join-keys '{"user_id": "u2", "merchant_id": "9"}' \\
        --request-context '{"amount": 12.5}' > views.toml
      feature-gateway discover prod fraud --config gateway.toml --samples rows.jsonl --concurrency 1 --json
    """
    with told_plainly(), _advised():
        settings = load_settings(config, {"origin": given(kind="tecton", url=tecton_url)})
        caller = Caller(b"", f"Tecton-key {_api_key(settings, api_key_file)}")
        rows = rows_given(join_keys, contexts, samples)
        limits = _Limits(concurrency, timeout_s, max_requests)
        told = asyncio.run(_learn(settings, ServiceRef(workspace, service), caller, rows, limits))
        _tell(told, settings, in_json=in_json)


class _Limits(NamedTuple):
    """How much, and how fast, the cluster may be asked."""

    at_once: int
    timeout_s: float
    max_requests: int


def _api_key(settings: Settings, file: Path | None) -> str:
    if file is not None:
        return text_of(file, "--api-key-file").strip()
    if settings.origin.api_key is None:
        raise SettingsError("origin.api_key: give a key of the cluster in FEATURE_GATEWAY_ORIGIN__API_KEY or --api-key-file")
    return settings.origin.api_key.get_secret_value()


@contextmanager
def _advised() -> Iterator[None]:
    """What the cluster answered, and what to do about it."""
    try:
        yield
    except SampleRefused as error:
        fail(f"The cluster takes sample {error.number} for a wrong request. What it says may quote values, so it is not shown here: send"
             " that row to get-features to see it.", 2)  # fmt: skip
    except GatewayError as error:
        advice, status = _ADVICE.get(type(error), ("Nothing was learnt.", 1))
        fail(f"{error.message}\n{advice}", status)


async def _learn(settings: Settings, service: ServiceRef, caller: Caller, rows: Sequence[Row], limits: _Limits) -> Told:
    origin = settings.origin
    assert origin.url is not None  # settings.checked refuses it
    tecton = TectonOrigin(connector_of(origin, max_connections=limits.at_once).channel(origin.url))
    try:
        prober = Prober(tecton, service, caller, at_once=limits.at_once, timeout_s=limits.timeout_s)
        description = await prober.describe()
        if description.kind == WILDCARD:
            raise SettingsError(f"SERVICE: {service} is a wildcard feature service: nothing of it is cached, so nothing is to be learnt")
        samples = affordable(samples_of(rows, description), description, limits.max_requests)
        _announce(service, description, samples, len(rows), limits)
        with _progress(requests_for(samples, description)) as asked:
            findings = await prober.learn(description, samples, asked)
    finally:
        await tecton.aclose()
    return Told(service, findings, description.features, len(samples), prober.requests)


def _announce(service: ServiceRef, description: Description, samples: Sequence[Sample], rows: int, limits: _Limits) -> None:
    left_out = f" ({rows - len(samples)} more left out: --max-requests)" if len(samples) < rows else ""
    plural = "s" * (len(samples) != 1)
    click.echo(
        f"Asking for {service}: {len(samples)} sample{plural}{left_out}, {len(description.join_keys)} join keys; "
        f"at most {requests_for(samples, description)} requests, {limits.at_once} at a time.",
        err=True,
    )
    if alike := unvaried(samples, description):
        click.secho(f"All samples have the same {', '.join(alike)}: no view can be shown not to depend on it.", fg="yellow", err=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """What to call after each request."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Asking", total=total)
        yield lambda: bar.advance(task)


def _tell(told: Told, settings: Settings, *, in_json: bool) -> None:
    _tell_evidence(told)
    said = {name: view.join_keys for name, view in settings.views.items() if view.join_keys is not None}
    for line in contradictions(told.findings, said):
        click.secho(f"These settings serve wrong values: {line}", fg="red", err=True)
    click.echo(as_json(told) if in_json else as_toml(told))


def _tell_evidence(told: Told) -> None:
    if sys.stderr.isatty():
        table = Table("view", "key", "evidence", title=f"{told.service}", title_justify="left", title_style="bold")
        for finding in told.findings:
            for index, (key, counts) in enumerate(evidence_of(finding)):
                table.add_row(f"{finding.view}: {finding.verdict}" if not index else "", key, counts)
        Console(stderr=True).print(table)
        return
    for finding in told.findings:
        counts_of_all = "; ".join(f"{key}: {counts}" for key, counts in evidence_of(finding))
        click.echo(f"  {finding.view}  {finding.verdict}; {counts_of_all}", err=True)
