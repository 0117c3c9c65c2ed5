"""How commands speak: errors as one clear text and an exit status, tables and bars on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from gateway.applying import APPLY, ServerSilent
from gateway.embedded import PINNED_SERVER, SERVER
from gateway.errors import GatewayError
from gateway.feature_server.data_lock import FolderInUse
from gateway.feature_server.online.base import StoreMismatch
from gateway.feature_server.validation import DefinitionError
from gateway.settings import SettingsError

_EVERY_S = 2.0
config_option = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML or YAML file of settings.")
_ADVICE: Mapping[str, str] = {
    SERVER: "Stop it first; new definitions can be put in force while it runs (feature-gateway apply), and records go through its"
    " /ingest (feature-gateway ingest --url).",
    PINNED_SERVER: "Stop it first, or choose another folder with --data-dir. It serves the definitions that its settings name, and would"
    " not take up others.",
    APPLY: "Wait until it has finished.",
}


@contextmanager
def told_plainly() -> Iterator[None]:
    """Exit status 1 for what may pass, 2 for what must be changed first."""
    try:
        yield
    except SettingsError as error:
        fail(f"These settings do not work:\n{error}", 2)
    except (DefinitionError, StoreMismatch) as error:
        fail(str(error), 2)
    except FolderInUse as error:
        fail(f"{error} {_ADVICE.get(error.holder.role, _ADVICE[APPLY]) if error.holder is not None else _ADVICE[APPLY]}", 1)
    except ServerSilent as error:
        fail(str(error), 1)
    except GatewayError as error:
        fail(error.message, 1)


def fail(text: str, status: int) -> NoReturn:
    click.secho(text, fg="red", err=True)
    sys.exit(status)


def given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal, tabs elsewhere."""
    if sys.stdout.isatty():
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    for row in rows:
        click.echo("\t".join(row))


@contextmanager
def copying() -> Iterator[Callable[[str, int], None]]:
    """What to call as a view's history is copied: by view and number of join keys."""
    if sys.stderr.isatty():
        with Status("", console=Console(stderr=True)) as status:
            yield lambda view, done: status.update(f"Copying the history of {view}: {done:,} join keys")
    else:
        yield _lines()


def _lines() -> Callable[[str, int], None]:
    last, told_s = "", 0.0

    def progress(view: str, done: int) -> None:
        nonlocal last, told_s
        now_s = monotonic()
        if view != last or now_s - told_s >= _EVERY_S:
            last, told_s = view, now_s
            click.echo(f"Copying the history of {view}: {done:,} join keys", err=True)

    return progress
