"""What each read may cost: the counts of `budgets.json`, and how far from them is too far."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

FILE = Path(__file__).with_name("budgets.json")
RECORDED_ON = (3, 11)
"""Instructions differ from one Python to the next, as do C calls and the sizes of objects; comprehensions are calls up to 3.11."""

Counts = Mapping[str, Mapping[str, int]]
_SLACK = {"instructions": 0.05, "python calls": 0.05, "C calls": 0.05, "peak bytes": 0.10, "blocks kept": 0.05}
"""Everything else is held exactly."""
_OF_ONE_PYTHON = frozenset({"instructions", "C calls", "peak bytes", "blocks kept"})
_RATCHETED = frozenset({"instructions", "python calls", "C calls"})
_RATCHET = 0.10


def budgets() -> Counts:
    told: Counts = json.loads(FILE.read_text())
    return told


def record(counts: Counts) -> None:
    if sys.version_info[:2] != RECORDED_ON:
        raise SystemExit(f"budgets are recorded on Python {'.'.join(map(str, RECORDED_ON))}")
    FILE.write_text(json.dumps(counts, indent=2) + "\n")


def departures(measured: Counts, recorded: Counts, *, python: tuple[int, int]) -> Iterator[str]:
    """Each count that is over its budget, or so far below it that the budget holds nothing any more."""
    if measured.keys() != recorded.keys():
        yield f"reads without a budget, or budgets without a read: {sorted(measured.keys() ^ recorded.keys())}"
    for name in measured.keys() & recorded.keys():
        for what, budget in recorded[name].items():
            if what in _OF_ONE_PYTHON and python != RECORDED_ON:
                continue
            now, slack = measured[name][what], _SLACK.get(what, 0.0)
            if now > budget * (1 + slack):
                yield f"{name}: {now:,} {what}, and the budget is {budget:,} (and {slack:.0%})"
            elif what in _RATCHETED and python == RECORDED_ON and now < budget * (1 - _RATCHET):
                yield f"{name}: {now:,} {what}, well below the budget of {budget:,}: lower it, or what was won may be lost unseen"
