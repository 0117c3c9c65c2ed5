"""`feature-gateway ingest`: files into a stream source, of a data folder or of a running server."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.commands.telling import config_option, fail, given, told_plainly
from gateway.embedded import Given, definitions, open_given
from gateway.feature_server.catalog import Catalog, SourceRuntime
from gateway.feature_server.files import FileUnreadable
from gateway.feature_server.snapshot import matching
from gateway.loading.checkpoints import Checkpoints, FileChanged
from gateway.loading.client import HttpSink, PushFailed
from gateway.loading.loader import BadRowFound, EngineSink, Loader, Sink, Stopped, Tally
from gateway.settings import Settings, SettingsError
from gateway.settings import load as load_settings

INGEST = "feature-gateway ingest"
_EVERY_S = 2.0
Report = Callable[[Path, int, Tally], None]


@click.command()
@click.argument("source")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--workspace", help="Workspace of the source.  [default: default_workspace of the settings, prod]")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Data folder of the feature server.")
@config_option
@click.option(
    "--definitions", "definitions_at", metavar="DIR", help="Feature repository that types the source.  [default: the one in force]"
)
@click.option("--url", help="Base URL of a running server, to go through its ingest API.")
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="File with an API key that may ingest, for --url.")
@click.option("--batch", default=500, show_default=True, type=click.IntRange(1, 100_000), help="Rows between two checkpoints.")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out, and tell how many there were, instead of stopping at the first.")
@click.option("--restart", is_flag=True, help="Begin the files anew, whatever was loaded of them before.")
def ingest(
    source: str,
    files: tuple[Path, ...],
    workspace: str | None,
    data_dir: Path | None,
    config: Path | None,
    definitions_at: str | None,
    url: str | None,
    key_file: Path | None,
    batch: int,
    skip_bad: bool,  # noqa: FBT001 - click's signature
    restart: bool,  # noqa: FBT001 - click's signature
) -> None:
    """Load files into the stream source SOURCE: CSV and JSONL, also gzipped, and Parquet.

    Without FILE, those that the source names under `files`, relative to its feature repository. Broken off, the same command goes on where
    it stopped; what is loaded twice is stored once. CSV needs a header; an empty field is null. Rows that are older than the views' TTL are
    left out.

    \b
    Examples:
      feature-gateway ingest orders data/orders-2024-*.csv.gz
      feature-gateway ingest orders --data-dir /var/lib/feature-gateway
      feature-gateway ingest orders new.jsonl --url http://127.0.0.1:8080 --key-file writer.key
    """
    with told_plainly(), _told_of_files(), ExitStack() as stack:
        settings = load_settings(config, {"feature_server": given(data_dir=data_dir, definitions=definitions_at)})
        stop = stack.enter_context(_stopped_by_signals())
        runtime, found, sink, target = _sink(settings, workspace or settings.default_workspace, source, url, key_file, stop, stack)
        paths = list(files) or _named_files(runtime, found)
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise SettingsError(f"FILE: there is no file {', '.join(missing)}")
        state = settings.feature_server.data_dir / "ingest" if url is None else Path(click.get_app_dir("feature-gateway")) / "ingest"
        checkpoints = Checkpoints(state, target, runtime.workspace, source)
        if restart:
            for path in paths:
                checkpoints.restart(path)
        started_s = monotonic()
        with _progress(paths) as report:
            loader = Loader(runtime, sink, checkpoints, batch_rows=batch, skip_bad=skip_bad, stop=stop, progress=report)
            try:
                for path in paths:
                    loader.load(path)
            except (Stopped, PushFailed):
                if not stop.is_set():
                    raise
                fail(f"Stopped: {_summary(loader.tally, started_s)} Give the same command again to go on.", 130)
            except BadRowFound as error:
                fail(f"{error}\nEverything before it is stored: {_summary(loader.tally, started_s)} Mend the row and give the command again"
                     " with --restart, or leave such rows out with --skip-bad.", 2)  # fmt: skip
        _tell_bad(loader.tally)
        click.echo(_summary(loader.tally, started_s))


def _sink(
    settings: Settings, workspace: str, source: str, url: str | None, key_file: Path | None, stop: Event, stack: ExitStack
) -> tuple[SourceRuntime, Given, Sink, str]:
    """Where rows go, and whose progress that is."""
    if url is None:
        found, engine = open_given(settings, INGEST)
        stack.callback(engine.close)
        runtime = _source(engine.catalog, workspace, source)
        return runtime, found, EngineSink(engine, runtime), str(settings.feature_server.data_dir.resolve())
    if not url.startswith(("http://", "https://")):
        raise SettingsError("--url: must start with http:// or https://")
    if key_file is None:
        raise SettingsError("--key-file: needed with --url. Make a key with: feature-gateway new-key NAME --ingest > NAME.key")
    try:
        key = key_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--key-file: {key_file} cannot be read ({getattr(error, 'strerror', 'it is not text')})") from error
    found = definitions(settings)
    runtime = _source(Catalog(found.repository), workspace, source)
    sink = HttpSink(url, key, runtime, stop=stop)
    stack.callback(sink.close)
    return runtime, found, sink, url


def _source(catalog: Catalog, workspace: str, source: str) -> SourceRuntime:
    runtime = catalog.sources.get((workspace, source))
    if runtime is None:
        known = ", ".join(sorted(f"{name} (workspace {of})" for of, name in catalog.sources)) or "none"
        raise SettingsError(f"SOURCE: there is no stream source {source} in workspace {workspace}. There are: {known}")
    if not runtime.views:
        raise SettingsError(f"SOURCE: no feature view reads the stream source {source}, so nothing of it would be stored")
    return runtime


def _named_files(runtime: SourceRuntime, found: Given) -> list[Path]:
    patterns = runtime.source.files
    if not patterns or found.folder is None:
        raise SettingsError(f"FILE: name the files to load; the stream source {runtime.source.name} names none under `files`")
    paths = matching(found.folder, patterns)
    if not paths:
        raise SettingsError(f"FILE: no file in {found.folder} matches {', '.join(patterns)}, which the stream source names under `files`")
    return paths


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
    """Set by the first Ctrl+C or SIGTERM, which ends a batch and not the middle of a write; the second is as rough as ever."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        restore()
        stop.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()


@contextmanager
def _told_of_files() -> Iterator[None]:
    try:
        yield
    except (FileUnreadable, FileChanged) as error:
        fail(str(error), 2)
    except PushFailed as error:
        fail(f"{error} What was acknowledged is stored; give the same command again to go on.", 1)
    except OSError as error:
        fail(f"{error.filename or 'A file'} cannot be used ({error.strerror}).", 1)


@contextmanager
def _progress(paths: Sequence[Path]) -> Iterator[Report]:
    sizes = {path: path.stat().st_size for path in paths}
    if not sys.stderr.isatty():
        yield _lines(sizes)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started_s = monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Ingesting", total=sum(sizes.values()), rows=0, rate=0.0)

        def report(path: Path, position: int, tally: Tally) -> None:
            rate = tally.read / max(monotonic() - started_s, 1e-6)
            bar.update(task, description=path.name, completed=_read(sizes, path, position), rows=tally.read, rate=rate)

        yield report


def _read(sizes: dict[Path, int], path: Path, position: int) -> int:
    """Bytes of all files: those before this one are done."""
    names = list(sizes)
    return sum(sizes[name] for name in names[: names.index(path)]) + position


def _lines(sizes: dict[Path, int]) -> Report:
    told_s = monotonic()
    total = max(1, sum(sizes.values()))

    def report(path: Path, position: int, tally: Tally) -> None:
        nonlocal told_s
        if monotonic() - told_s >= _EVERY_S:
            told_s = monotonic()
            click.echo(f"{path.name}: {tally.read:,} rows, {100 * _read(sizes, path, position) // total} %", err=True)

    return report


def _tell_bad(tally: Tally) -> None:
    for bad in tally.bad:
        click.secho(str(bad), fg="red", err=True)
    if tally.bad_count > len(tally.bad):
        click.secho(f"and {tally.bad_count - len(tally.bad):,} more", fg="red", err=True)


def _summary(tally: Tally, started_s: float) -> str:
    elapsed_s = max(monotonic() - started_s, 1e-6)
    told = [f"{tally.stored:,} rows stored in {elapsed_s:.1f} s ({tally.read / elapsed_s:,.0f} rows/s)"]
    told += [f"{count:,} {what}" for count, what in (
        (tally.resumed, "were loaded before"),
        (tally.too_old, "are older than the views keep, and left out"),
        (tally.bad_count, "are bad, and left out"),
    ) if count]  # fmt: skip
    return "; ".join(told) + "."
