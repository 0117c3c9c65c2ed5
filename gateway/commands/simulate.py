"""`feature-gateway simulate`: what other TTLs and cache sizes would have done to the reads of a request log."""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from gateway.commands.progress import counted
from gateway.commands.simulation_page import page, spell_bytes
from gateway.commands.telling import fail
from gateway.feature_server.definitions import spell_duration
from gateway.feature_server.folder.spellings import parse_duration
from gateway.simulation import Cell, Log, LogUnusable, Outcome, read_log
from gateway.simulation import simulate as run

_GZIP = b"\x1f\x8b"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(%|B|KiB|MiB|GiB)")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LINES_PER_REPORT = 50_000


class Size(NamedTuple):
    """A cache's size: bytes, or a share of what all fragments of the log take."""

    text: str
    amount: float
    unit: str

    def size_bytes(self, log: Log) -> int:
        if self.unit == "%":
            return round(self.amount / 100 * log.working_set_bytes)
        return round(self.amount * _UNITS[self.unit])


def _duration(_context: click.Context, _option: click.Parameter, given: Any) -> Any:
    """Seconds, of one or of several."""
    try:
        return tuple(parse_duration(one) for one in given) if isinstance(given, tuple) else given and parse_duration(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _sizes(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[Size, ...]:
    found = [(one, _SIZE.fullmatch(one.strip())) for one in given]
    wrong = [one for one, match in found if match is None or float(match[1]) == 0]
    if wrong:
        raise click.BadParameter(f"{wrong[0]} is not a size, such as 64MiB, 1.5GiB or 25%.")
    return tuple(Size(one, float(match[1]), match[2]) for one, match in found if match is not None)


@click.command()
@click.argument("request_log", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--ttl", "ttls", multiple=True, default=["10s", "1m", "10m", "1h", "1d"], show_default=True, callback=_duration, help="May be repeated."
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=["10%", "25%", "50%", "100%"],
    show_default=True,
    callback=_sizes,
    help="Of the whole cache: bytes, or a share of what all fragments of the log take. May be repeated.",
)
@click.option(
    "--stale-while-revalidate",
    "stale_s",
    metavar="DURATION",
    callback=_duration,
    help="Serve this long after the TTL, while fetching again.",
)
@click.option("--html", "html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with a plot as well.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON on stdout.")
def simulate(
    request_log: Path,
    ttls: tuple[int, ...],
    sizes: tuple[Size, ...],
    stale_s: int | None,
    html: Path | None,
    as_json: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Replay REQUEST_LOG (see request_log.path; also gzipped) against caches of several TTLs and sizes.

    Tells what share of view reads each would have answered fresh and stale, and what it would have spared the origin. The log's own clock
    counts, and the store is the gateway's own. Of a sampled log the figures are estimates for all reads.

    \b
    Examples:
      feature-gateway simulate requests.jsonl
      feature-gateway simulate requests.jsonl.gz --ttl 1m --ttl 10m --size 64MiB --size 1GiB --html cache.html
      feature-gateway simulate requests.jsonl --stale-while-revalidate 5m --json
    """
    with _told_of(request_log):
        log = _read(request_log)
    cells = [Cell(float(ttl_s), size.size_bytes(log), float(stale_s or 0)) for ttl_s, size in product(ttls, sizes)]
    with counted("Rows replayed", len(cells) * log.rows) as progress:
        outcomes = run(log, cells, progress)
    if html is not None:
        with _told_of(html):
            html.write_text(page(request_log.name, log, outcomes), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(document(log, outcomes)))
    else:
        show(log, outcomes)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except LogUnusable as error:
        fail(f"{path}: {error}", 2)
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)


def _read(path: Path) -> Log:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    total = path.stat().st_size
    ends_early: list[str] = []
    with counted("Bytes read", total) as progress:
        log = read_log(_lines(path, progress, ends_early, zipped=zipped))
    if ends_early:
        click.secho(f"{path} breaks off ({ends_early[0]}); what comes before is used.", fg="yellow", err=True)
    for count, what in (
        (log.damaged, "damaged lines were skipped"),
        (log.strangers, "rows were skipped, of views that no line before them introduces"),
        (log.dropped, "lines are missing, because the gateway could not write them"),
    ):
        if count:
            click.secho(f"{path}: {count:,} {what}.", fg="yellow", err=True)
    return log


def _lines(path: Path, progress: Callable[[int], None], ends_early: list[str], *, zipped: bool) -> Iterator[bytes]:
    with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if zipped else nullcontext(raw) as lines:
        try:
            for number, line in enumerate(lines):
                if number % _LINES_PER_REPORT == 0:
                    progress(raw.tell())
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            ends_early.append(str(error))


def document(log: Log, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All figures. Ratios are shares of view reads; `saved_calls` is null for a sample, whose rows are not whole."""
    return {
        "log": {
            "rows": log.rows,
            "view_reads": len(log.wanted),
            "key_sets": len(log.views_of),
            "sample": log.sample,
            "seconds": max(log.times_s) - min(log.times_s),
            "working_set_bytes": log.working_set_bytes,
            "damaged_lines": log.damaged,
            "skipped_rows": log.strangers,
            "dropped_lines": log.dropped,
        },
        "outcomes": [
            {
                "ttl_s": one.cell.ttl_s,
                "size_bytes": one.cell.size_bytes,
                "stale_while_revalidate_s": one.cell.stale_s,
                "hit_ratio": one.hit_ratio,
                "stale_share": one.stale_share,
                "saved_calls": one.saved_calls if log.sample == 1 else None,
            }
            for one in outcomes
        ],
    }


def show(log: Log, outcomes: Sequence[Outcome]) -> None:
    sampled = f", a sample of {log.sample:.3g} of all" if log.sample < 1 else ""
    reads = f"{len(log.wanted):,} view reads of {len(log.views_of):,} sets of join keys{sampled}"
    click.echo(f"{log.rows:,} rows over {spell_span(max(log.times_s) - min(log.times_s))}, {reads}.")
    click.echo(f"All fragments take {spell_bytes(log.working_set_bytes)}. Every hit is a view that the origin need not read.")
    columns = ("TTL", "size", "hit ratio", "stale", "calls saved")
    rows = [
        (
            spell_duration(round(one.cell.ttl_s)),
            spell_bytes(one.cell.size_bytes),
            f"{one.hit_ratio:.1%}",
            f"{one.stale_share:.1%}",
            f"{one.saved_calls:.1%}" if log.sample == 1 else "-",
        )
        for one in outcomes
    ]
    if sys.stdout.isatty():
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, *rows):
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def spell_span(seconds: float) -> str:
    for unit, size_s in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:,.1f} {unit}"
    return f"{seconds:,.1f} seconds"
