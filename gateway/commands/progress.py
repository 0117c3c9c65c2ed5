"""How far a long run has come: a bar on a terminal, a line now and then elsewhere. On stderr, so that results can be piped."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_EVERY_S = 5.0


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """What to call with how many are done."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _lines(what, total)


def _lines(what: str, total: int) -> Callable[[int], None]:
    told_s = monotonic()

    def tell(done: int) -> None:
        nonlocal told_s
        if monotonic() - told_s >= _EVERY_S:
            told_s = monotonic()
            click.echo(f"{what}: {done:,} of {total:,}", err=True)

    return tell
