"""Brings the demo's flights into an engine, through the same door as any ingest request.

What the store holds already is left alone: a second start loads nothing, an interrupted load goes on where it stopped, and a flight that
somebody has corrected since stays corrected.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from gateway.demo.definitions import SOURCE, WORKSPACE
from gateway.demo.flights import last_flight, read_flights
from gateway.feature_server.engine import Engine

BATCH_RECORDS = 500
"""Per transaction: one fsync each."""


class LoadFailed(Exception):
    """The engine refused the demo's own records."""


def load(engine: Engine, progress: Callable[[int], None], batch_records: int = BATCH_RECORDS) -> int:
    """Load what is missing and say how many records that was. `progress` gets the number of flights that are stored, after each batch.

    Blocks; not for the event loop's thread. Raises LoadFailed, and what the store raises.
    """
    flights = read_flights()
    loaded = stored = 0
    while batch := list(islice(flights, batch_records)):
        missing = engine.missing(WORKSPACE, SOURCE, batch)
        if missing:
            _ingest(engine, missing)
        loaded += len(missing)
        stored += len(batch)
        progress(stored)
    return loaded


def loaded(engine: Engine) -> bool:
    """Whether the store holds all of the flights already. They are loaded in order, each batch whole or not at all, so where the last one
    is, all are: a third of a second of each start less."""
    return not engine.missing(WORKSPACE, SOURCE, [last_flight()])


def _ingest(engine: Engine, records: Sequence[Mapping[str, Any]]) -> None:
    request = {"workspace_name": WORKSPACE, "records": {SOURCE: [{"record": record} for record in records]}}
    reply = engine.ingest(msgspec.json.encode(request), max_records=len(records))
    if reply.status != 200:
        raise LoadFailed(f"The demo's flights were refused with status {reply.status}.")
