"""Which feature services of a cluster take get-features-batch. Its API does not say (contract §2.2: those on Redis do); its refusals do.

    405, 501    of a batch: the service takes none. Its rows are asked one by one from then on, for a while
    400, 404    of a batch: a row of it is wrong, or the service takes none (or not so many at once: the store's size limit is a 400 too).
                Whoever asks its rows again, alone, shows which: one is refused alone as well → it was that row; all are answered → it
                was the batch
    200         of a batch: the service takes them

What the settings say of a service is never doubted. Pure but for the clock; knows nothing of HTTP but these statuses.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.features import ServiceRef
from gateway.origins.base import FetchRow

logger = logging.getLogger(__name__)
_NO_BATCHES, _IN_DOUBT = (405, 501), (400, 404)
_ALONE_S = 300.0
"""How long it is believed that a service takes no batches: then one is tried again."""
_DOUBT_S = 10.0
_REMEMBERED = 1_000


@dataclass(slots=True)
class _Doubt:
    """Rows of a refused batch that have not been answered alone yet."""

    rows: list[FetchRow]
    ends_s: float


class Batching:
    """`limit`: rows in a batch at most. `said`: what the settings say, by `workspace/service`; `none_else`: no other service takes batches.
    `clock` is monotonic, in seconds."""

    def __init__(self, limit: int, said: Mapping[str, bool], clock: Callable[[], float], *, none_else: bool = False) -> None:
        self._limit = limit
        self._said = said
        self._otherwise = False if none_else else None
        self._clock = clock
        self._alone_until: dict[ServiceRef, float] = {}
        self._doubts: dict[ServiceRef, _Doubt] = {}

    def limit(self, service: ServiceRef) -> int:
        """How many rows of this service one call may ask for."""
        said = self._said_of(service)
        if said is None:
            said = self._clock() >= self._alone_until.get(service, 0.0)
        return self._limit if said else 1

    def answered(self, service: ServiceRef, rows: Sequence[FetchRow]) -> None:
        """With 200."""
        if len(rows) > 1:
            self._alone_until.pop(service, None)
            self._doubts.pop(service, None)
            return
        doubt = self._doubts.get(service)
        if doubt is None:
            return
        doubt.rows = [row for row in doubt.rows if not _same(row, rows[0])]
        if not doubt.rows:
            self._ask_alone(service)

    def refused(self, service: ServiceRef, rows: Sequence[FetchRow], status: int) -> bool:
        """With any other status. Whether it may have been the batch, so that its rows are worth asking for alone."""
        if len(rows) == 1:
            doubt = self._doubts.get(service)
            if status in _IN_DOUBT and doubt is not None and any(_same(row, rows[0]) for row in doubt.rows):
                del self._doubts[service]
            return False
        if self._said_of(service) is not None:
            return False
        if status in _NO_BATCHES:
            self._ask_alone(service)
        elif status in _IN_DOUBT:
            self._doubt(service, rows)
        return status in _NO_BATCHES or status in _IN_DOUBT

    def _said_of(self, service: ServiceRef) -> bool | None:
        return self._said.get(str(service), self._otherwise)

    def _doubt(self, service: ServiceRef, rows: Sequence[FetchRow]) -> None:
        """One batch at a time is evidence enough; one whose rows nobody has asked again is none."""
        now_s, known = self._clock(), self._doubts.get(service)
        if known is None or now_s >= known.ends_s:
            if len(self._doubts) >= _REMEMBERED:
                self._doubts.clear()
            self._doubts[service] = _Doubt(list(rows), now_s + _DOUBT_S)

    def _ask_alone(self, service: ServiceRef) -> None:
        self._doubts.pop(service, None)
        if self.limit(service) > 1:  # others may have been under way
            logger.warning("feature service %s takes no batches: its rows are asked one by one for %d s", service, _ALONE_S)
        if len(self._alone_until) >= _REMEMBERED:
            self._alone_until.clear()
        self._alone_until[service] = self._clock() + _ALONE_S


def _same(row: FetchRow, other: FetchRow) -> bool:
    return row.join_keys == other.join_keys and row.context == other.context
