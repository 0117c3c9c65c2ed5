"""Which calls and views the fault lab hits, and how: drawn from the shares in the settings with one random generator.

Every call draws its own lots for latency, error and each view, whether or not they are needed: other latencies do not move the errors.
Knows nothing of origins' answers, and lets no time pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from statistics import NormalDist

from gateway.errors import (
    Code,
    GatewayError,
    InvalidRequest,
    OriginError,
    OriginFailed,
    OriginMalformed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
)
from gateway.features import ReadOptions
from gateway.settings.faults import FaultErrors, FaultLatency, Faults, error_shares

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_SMALLEST = 2.0**-53
_BUDGET_SPENT = 0.9
"""Of a latency budget, when the rest is given up: the reply still has to be there in time."""


class Mark(Enum):
    """What is wrong with one view of an answer."""

    LEFT_OUT = auto()
    TIMED_OUT = auto()
    MISSING = auto()


Marks = Mapping[str, Mark]
"""By view; views that are not in it are whole."""


class ResponseTooLarge(InvalidRequest):
    """The online store's size limit is met by a caller that does not take partial results (contract §1.5)."""

    code = Code.FAILED_PRECONDITION

    def __init__(self) -> None:
        super().__init__("The online store's response is larger than its limit, and allowPartialResults is not set (fault lab).")


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one call: its reply, or `error`, comes so much later. An infinite latency ends at the call's deadline."""

    latency_s: float = 0.0
    error: GatewayError | None = None


SPARED = Fate()


class Fates:
    """The lots of all calls, in the order in which they come."""

    def __init__(self, faults: Faults, random: Random) -> None:
        self._faults = faults
        self._random = random

    def call(self) -> Fate:
        kind, length, spike = (self._random.random() for _ in range(3))
        latency_s = added_latency_s(self._faults.latency, length)
        if spike < self._faults.latency.spike_share:
            latency_s += self._faults.latency.spike_ms / 1000
        return Fate(latency_s, error_of(self._faults.errors, kind))

    def row(self, views: Sequence[str]) -> Marks:
        """The marks of one row, whose views these are: in an order that is the same each time."""
        answers = self._faults.answers
        partial, cut = self._random.random() < answers.partial_share, int(self._random.random() * len(views))
        marks: dict[str, Mark] = {}
        for index, view in enumerate(views):
            lot = self._random.random()
            if partial and index >= cut:
                marks[view] = Mark.LEFT_OUT
            elif lot < answers.timed_out_share:
                marks[view] = Mark.TIMED_OUT
            elif lot < answers.timed_out_share + answers.missing_share:
                marks[view] = Mark.MISSING
        return marks


def fetch_fate(call: Fate, rows: Sequence[Marks], options: ReadOptions) -> Fate:
    """What becomes of a call when its answer has these marks, by the options of whoever asks (contract §1.5, §3)."""
    marks = {mark for row in rows for mark in row.values()}
    if call.error is not None:
        return call
    if Mark.LEFT_OUT in marks and not options.allow_partial_results:
        return Fate(call.latency_s, ResponseTooLarge())
    if Mark.TIMED_OUT not in marks:
        return call
    if options.latency_budget_ms is None:
        return Fate(math.inf)
    return Fate(max(call.latency_s, options.latency_budget_ms / 1000 * _BUDGET_SPENT))


def added_latency_s(latency: FaultLatency, lot: float) -> float:
    """The quantile `lot` (from 0 to below 1) of the distribution, in seconds."""
    p50_s, p99_s = latency.p50_ms / 1000, (latency.p50_ms if latency.p99_ms is None else latency.p99_ms) / 1000
    if p50_s == p99_s:
        return p50_s
    if latency.shape == "uniform":
        return max(0.0, p50_s + (p99_s - p50_s) * (lot - 0.5) / 0.49)
    way = _NORMAL.inv_cdf(max(lot, _SMALLEST)) / _Z99  # 0 at the median, 1 at the 99th percentile
    if latency.shape == "normal":
        return max(0.0, p50_s + (p99_s - p50_s) * way)
    return p50_s * math.pow(p99_s / p50_s, way)


def error_of(errors: FaultErrors, lot: float) -> OriginError | None:
    """The error of a call that drew `lot` (from 0 to below 1), if it is to have one."""
    ends: Mapping[str, OriginError] = {
        "failed_share": OriginFailed("The feature store answered with status 500 (fault lab)."),
        "unavailable_share": OriginUnavailable("503 Service Temporarily Unavailable (fault lab)"),
        "timeout_share": OriginTimeout("Timed out (fault lab)"),
        "throttled_share": OriginThrottled(
            "The concurrent request limit is exceeded, please retry later (fault lab)", str(errors.retry_after_s)
        ),
        "malformed_share": OriginMalformed("The feature store's reply cannot be understood; nothing of it was used (fault lab)."),
    }
    reached = 0.0
    for name, share in error_shares(errors).items():
        reached += share
        if lot < reached:
            return ends[name]
    return None
