"""How many attempts may be under way: a gradient of latencies, after Netflix's Gradient2 and Envoy's adaptive concurrency.

    window     the latencies of at least 10 answers of one shape, over at least 100 ms; what counts of them is the median
    shape      calls that are alike, by the size of their batches: each has a baseline of its own
    baseline   what an answer takes when it need not wait: the least median of windows since it was last measured
    gradient   (1.3 baselines + 5 ms) / median, no more than 1 and no less than a half; over shapes, weighed by their answers
    limit      gradient x limit + its square root, where at least half of it was in use; it grows only where three quarters were

Up to that tolerance latency is believed to be noise: the mix of services, and this process's own turns. A median that is the fault of
waiting pulls the limit down to where it is not; the square root is the room to find out that there is more.

Under lasting overload the least median would be one of waiting, so the baseline is measured anew every 15 s or so, and as soon as the limit
has halved, but not within 2 s: half the limit holds until what was under way has left, and for one window more. What is measured then is
believed also where it is more than before: latency that half the calls do not mend is not their waiting. Price: about 200 ms in 15 s at
half the limit.

Only answers count: failures are fast, or as slow as their deadline, and say nothing of the store. 429 takes a fifth off the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf, sqrt
from random import Random
from statistics import median

_WINDOW_S = 0.1
_WINDOW_ANSWERS = 10
_MOST_ANSWERS = 256
"""Of a window, kept of each shape."""
_TOLERANCE, _SLACK_S = 1.3, 0.005
_STEEPEST = 0.5
_IN_USE, _NEARLY_FULL = 0.5, 0.75
_MEASURE_EVERY_S = 15.0
_MEASURE_SOON_S = 2.0
_BELIEVED_S = 180.0
"""A baseline that no measuring has met for so long gives way to the next median."""
_THROTTLED = 0.8


class _Step(Enum):
    RUN = "the limit follows the gradient"
    DRAIN = "half the limit, until what began under more has left"
    MEASURE = "half the limit, and the next medians are the baselines"


@dataclass(slots=True)
class _Baseline:
    latency_s: float
    measured_s: float


class GradientLimit:
    """`clock` is monotonic, in seconds. The limit begins at `first` and stays within `least` and `most`."""

    def __init__(self, clock: Callable[[], float], *, least: int, most: int, first: int = 50, random: Random | None = None) -> None:
        self._clock = clock
        self._least, self._most = min(least, most), most
        self._limit = float(max(self._least, min(first, most)))
        self._random = random or Random()  # noqa: S311 - so that replicas do not measure at the same time
        self._baselines: dict[int, _Baseline] = {}
        self._step = _Step.RUN
        self._drained_s = 0.0
        self._limit_measured = self._limit
        self._measured_s = clock()
        self._measure_at_s = self._measured_s + _MEASURE_EVERY_S
        self._throttled_s = -inf
        self._since_s, self._peak = self._measured_s, 0
        self._answers: dict[int, list[float]] = {}

    @property
    def current(self) -> int:
        return int(self._limit) if self._step is _Step.RUN else max(self._least, int(self._limit / 2))

    def answered(self, shape: int, took_s: float, under_way: int) -> bool:
        """An attempt was answered after `took_s`; so many were `under_way`, itself included. Whether the limit may be another now."""
        took = self._answers.get(shape)
        if took is None:
            took = self._answers[shape] = []
        if len(took) < _MOST_ANSWERS:
            took.append(took_s)
        if under_way > self._peak:  # noqa: PLR1730 - for every answer
            self._peak = under_way
        if len(took) >= _WINDOW_ANSWERS:
            now_s = self._clock()
            if now_s - self._since_s >= _WINDOW_S:
                self._close(now_s)
                return True
        return False

    def throttled(self) -> None:
        """The origin asks for fewer: a fifth less, at most once in a window's time."""
        now_s = self._clock()
        if now_s - self._throttled_s >= _WINDOW_S:
            self._throttled_s = now_s
            self._set(self._limit * _THROTTLED)

    def _begin(self, now_s: float) -> None:
        self._since_s, self._peak = now_s, 0
        self._answers = {}

    def _close(self, now_s: float) -> None:
        medians = {shape: (median(took), len(took)) for shape, took in self._answers.items() if len(took) >= _WINDOW_ANSWERS}
        if self._step is _Step.RUN:
            self._learn(medians, now_s)
            self._follow(medians)
            if now_s >= self._measure_at_s or (self._limit <= self._limit_measured / 2 and now_s - self._measured_s >= _MEASURE_SOON_S):
                self._step = _Step.DRAIN
                self._drained_s = now_s + 2 * max(latency_s for latency_s, _ in medians.values())
        elif self._step is _Step.DRAIN:
            if now_s >= self._drained_s:
                self._step = _Step.MEASURE
        else:
            self._measure(medians, now_s)
        self._begin(now_s)

    def _measure(self, medians: dict[int, tuple[float, int]], now_s: float) -> None:
        self._baselines.update({shape: _Baseline(latency_s, now_s) for shape, (latency_s, _) in medians.items()})
        self._step = _Step.RUN
        self._limit_measured, self._measured_s = self._limit, now_s
        self._measure_at_s = now_s + _MEASURE_EVERY_S * self._random.uniform(0.8, 1.2)

    def _learn(self, medians: dict[int, tuple[float, int]], now_s: float) -> None:
        for shape, (latency_s, _) in medians.items():
            known = self._baselines.get(shape)
            if known is None or now_s - known.measured_s > _BELIEVED_S:
                self._baselines[shape] = _Baseline(latency_s, now_s)
            elif latency_s < known.latency_s:
                known.latency_s = latency_s

    def _follow(self, medians: dict[int, tuple[float, int]]) -> None:
        if self._peak < _IN_USE * self._limit:
            return
        gradient = answers = 0.0
        for shape, (latency_s, count) in medians.items():
            allowed_s = _TOLERANCE * self._baselines[shape].latency_s + _SLACK_S
            gradient += count * max(_STEEPEST, min(1.0, allowed_s / max(latency_s, 1e-9)))
            answers += count
        limit = gradient / answers * self._limit + sqrt(self._limit)
        if limit < self._limit or self._peak >= _NEARLY_FULL * self._limit:
            self._set(limit)

    def _set(self, limit: float) -> None:
        self._limit = max(float(self._least), min(float(self._most), limit))
