"""The book: a ledger for each feature service and view, and what is measured beside reads. One per process and house.

Its size is bounded: past `MOST_SERVICES` services, and as many views, what follows shares one ledger that is called `_other`.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import (
    GatewayError,
    OriginFailed,
    OriginMalformed,
    OriginResting,
    OriginShed,
    OriginThrottled,
    OriginTimeout,
    OriginUnavailable,
)
from gateway.measures.histogram import DURATIONS_S, Histogram
from gateway.measures.ledgers import ServiceLedger, ViewLedger

MOST_SERVICES = 500
MOST_ERRORS = 100
OTHER = "_other"
_CALLS: tuple[tuple[type[GatewayError], str], ...] = (
    (OriginShed, "shed"),
    (OriginResting, "resting"),
    (OriginThrottled, "throttled"),
    (OriginUnavailable, "unavailable"),
    (OriginTimeout, "timeout"),
    (OriginMalformed, "malformed"),
    (OriginFailed, "failed"),
)
"""How a call to the origin ended; the first that fits counts."""
CALL_OUTCOMES = ("ok", *[name for _, name in _CALLS], "refused")


class ErrorNote(NamedTuple):
    """One error reply. `at_s`: wall clock. `service`: `workspace/service`, or nothing where no schema has confirmed it. `kind`: the error's
    class. Nothing that came with the request is in it, but its id."""

    at_s: float
    door: str
    service: str
    code: int
    fault: str
    kind: str
    request_id: str | None


class Book:
    """`latency_s`: the latency objective of a feature service, by workspace and name; `bound_s`: the freshness bound of a view."""

    def __init__(
        self,
        latency_s: Callable[[str, str], float] = lambda _workspace, _service: 0.1,
        bound_s: Callable[[str], float | None] = lambda _view: None,
        batch_doors: frozenset[str] = frozenset(),
    ) -> None:
        self._latency_s = latency_s
        self._bound_s = bound_s
        self._batch_doors = batch_doors
        self.services: dict[tuple[str, str], ServiceLedger] = {}
        self.views: dict[tuple[str, str], ViewLedger] = {}
        self.requests: dict[tuple[str, str], Histogram] = {}
        """By door and class of status (`2xx`)."""
        self.problems: Counter[tuple[int, str]] = Counter()
        """Error replies, by HTTP status and fault."""
        self.calls: dict[tuple[str, str], Histogram] = {}
        """Calls to the origin, by what was asked (read, query, metadata, ingest) and how that ended."""
        self.records: Counter[str] = Counter()
        """Records at the ingest door, by result."""
        self.recent: deque[ErrorNote] = deque(maxlen=MOST_ERRORS)
        self.unknown = self.service("", "")
        """For reads that fail before it is known what they read."""

    def service(self, workspace: str, name: str) -> ServiceLedger:
        """Of a feature service that exists."""
        known = self.services.get((workspace, name))
        if known is None:
            if len(self.services) > MOST_SERVICES:
                workspace = name = OTHER
            known = self.services.get((workspace, name))
        if known is None:
            known = ServiceLedger(workspace, name, self._latency_s(workspace, name), self._batch_doors)
            self.services[workspace, name] = known
        return known

    def view(self, workspace: str, name: str) -> ViewLedger:
        """Of a view of a feature service that exists."""
        known = self.views.get((workspace, name))
        if known is None:
            if len(self.views) > MOST_SERVICES:
                workspace = name = OTHER
            known = self.views.get((workspace, name))
        if known is None:
            known = self.views[workspace, name] = ViewLedger(workspace, name, self._bound_s(name))
        return known

    def request(self, door: str, code: int, elapsed_s: float) -> None:
        """Any request but a read."""
        key = (door, f"{code // 100}xx")
        if key not in self.requests:
            self.requests[key] = Histogram(DURATIONS_S)
        self.requests[key].note(elapsed_s)

    def call(self, asked: str, elapsed_s: float, error: BaseException | None = None) -> None:
        """A call to the origin, retries and hedges included."""
        outcome = "ok" if error is None else next((name for kind, name in _CALLS if isinstance(error, kind)), "refused")
        key = (asked, outcome)
        if key not in self.calls:
            self.calls[key] = Histogram(DURATIONS_S)
        self.calls[key].note(elapsed_s)

    def judge(self, latency_s: Callable[[str, str], float], bound_s: Callable[[str], float | None]) -> None:
        """By other objectives from now on."""
        self._latency_s, self._bound_s = latency_s, bound_s
        for service in self.services.values():
            service.objective_s = latency_s(service.workspace, service.name)
        for view in self.views.values():
            view.bound_s = bound_s(view.name)
