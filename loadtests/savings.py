"""What the cache spares the origin, and what a fragment in it costs: figures that need no driver and no peer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from loadtests.trace import Read, replay
from loadtests.verdicts import FRAGMENT_BYTES, SAVED_AT_A_DAY, SAVED_AT_AN_HOUR

_TTLS_S = {SAVED_AT_AN_HOUR: 3_600.0, SAVED_AT_A_DAY: 86_400.0}
_FRAGMENTS, _ENCODED_BYTES = 100_000, 90


def view_reads_saved(reads: Sequence[Read], tell: Callable[[str], None]) -> dict[str, float]:
    """In percent, by TTL."""
    saved = {}
    for name, ttl_s in _TTLS_S.items():
        tell(name)
        figures = replay(reads, ttl_s)
        saved[name] = 100 * figures.view_hits / figures.view_reads
    return saved


def fragment_bytes(tell: Callable[[str], None], fragments: int = _FRAGMENTS) -> dict[str, float]:
    """Resident bytes of a fragment beside its encoded values, in rows of four views, in a store that has seen others come and go."""
    tell(FRAGMENT_BYTES)
    command = [sys.executable, "-m", "loadtests.fragment_cost", "rows", str(fragments), str(_ENCODED_BYTES)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    return {FRAGMENT_BYTES: json.loads(run.stdout)["beside"]}
