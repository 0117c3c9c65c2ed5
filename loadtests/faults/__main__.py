"""Runs the faults, tells a line of each, and fails where a promise was not kept."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console

from loadtests.faults import attacks, cuts, leaving, outages, pressure
from loadtests.faults.busy import Busy
from loadtests.faults.stage import Pace
from loadtests.faults.verdicts import Sheet

FAULTS: Mapping[str, Callable[[Pace], Sheet]] = {
    "dead": outages.dead,
    "slow": outages.slow,
    "failing": outages.failing,
    "throttling": outages.throttling,
    "half-open": outages.half_open,
    "truncated": cuts.truncated,
    "cancelled": cuts.cancelled,
    "slow-clients": attacks.slow_clients,
    "huge-requests": attacks.huge_requests,
    "noise": attacks.noisy,
    "overload": pressure.overload,
    "rolling": leaving.rolling,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="A look: each fault for some seconds.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(FAULTS)), help="Just these; all by default.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to this file.")
def main(quick: bool, names: tuple[str, ...], file: Path | None) -> None:  # noqa: FBT001 - click's signature
    """The gateway's bad days: a line for each fault, with figures. Ends with 1 where a promise was not kept.

    \b
    Examples:
      python -m loadtests.faults --quick
      python -m loadtests.faults --only dead --only overload --json faults.json
    """
    sheets = run(names or tuple(FAULTS), Pace(quick))
    if file is not None:
        file.write_text(json.dumps([sheet.document() for sheet in sheets], indent=2) + "\n")
    if not all(sheet.passed for sheet in sheets):
        sys.exit(1)


def run(names: Sequence[str], pace: Pace) -> list[Sheet]:
    console = Console(soft_wrap=True, highlight=False)
    sheets: list[Sheet] = []
    for number, name in enumerate(names, start=1):
        # a spinner on a terminal, nothing elsewhere
        with console.status(f"{name} ({number} of {len(names)}): {(FAULTS[name].__doc__ or '').splitlines()[0]}"):
            before = Busy.now()
            sheet = FAULTS[name](pace)
            sheet.note("cores at other work", Busy.now().others_since(before))
        sheets.append(sheet)
        console.print(str(sheet), style="green" if sheet.passed else "red", markup=False)
    return sheets


if __name__ == "__main__":
    main()
