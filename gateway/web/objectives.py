"""The door to the objectives, `/v1/slo`: what is promised, what became of it over all workers, and what is to be done about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.measures.burn import WINDOWS_S, burn_rate, state
from gateway.measures.families import Report, summed
from gateway.measures.promises import FRESHNESS, Promise, summed_promises
from gateway.web.exchange import answer_json, read_headers
from gateway.web.metrics.families import PREFIX
from gateway.web.metrics.teller import Metrics

_LONGEST = max(WINDOWS_S, key=lambda name: WINDOWS_S[name])
_ERRORS = f"{PREFIX}read_errors_total"
"""By door, workspace, feature service, fault and status."""


class Objectives:
    """For whom `admit` does not refuse; None: for everybody."""

    def __init__(self, metrics: Metrics, max_body_bytes: int, admit: Callable[[bytes | None], None] | None = None) -> None:
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if self._admit is not None:
            authorization, _ = read_headers(scope, self._max_body_bytes)
            self._admit(authorization)
        await answer_json(scope, send, msgspec.json.encode(told(await self._metrics.reports())))


def told(reports: Sequence[Report]) -> dict[str, Any]:
    promises = sorted(summed_promises([report.promises for report in reports]).values(), key=lambda promise: promise.subject[:2])
    services = [promise for promise in promises if promise.slo != FRESHNESS]
    errors = _errors(reports)
    return {
        "workers": [report.worker for report in reports],
        "services": [
            {
                "workspace": workspace,
                "featureService": name,
                "objectives": [_objective(promise, "withinMs", 1000) for promise in own],
                "errors": errors.get((workspace, name), {}),
            }
            for (workspace, name), own in _grouped(services).items()
        ],
        "views": [
            {"workspace": promise.workspace, "featureView": promise.name} | _objective(promise, "withinSeconds", 1)
            for promise in promises
            if promise.slo == FRESHNESS
        ],
    }


def _grouped(promises: Iterable[Promise]) -> Mapping[tuple[str, str], list[Promise]]:
    grouped: dict[tuple[str, str], list[Promise]] = {}
    for promise in promises:
        grouped.setdefault((promise.workspace, promise.name), []).append(promise)
    return grouped


def _objective(promise: Promise, within: str, factor: float) -> dict[str, Any]:
    """`budgetLeft`: of what three days allow; below 0 where more was bad. 1 where there was nothing."""
    bound = {} if promise.within_s is None else {within: promise.within_s * factor}
    return {
        "slo": promise.slo,
        "objective": promise.objective,
        **bound,
        "state": state(promise.pasts, promise.objective),
        "budgetLeft": 1 - (burn_rate(promise.pasts[_LONGEST], promise.objective) or 0),
        "windows": {
            name: {
                "seconds": past.length_s,
                "events": past.events,
                "bad": past.bad,
                "burnRate": burn_rate(past, promise.objective),
            }
            for name, past in promise.pasts.items()
        },
    }


def _errors(reports: Sequence[Report]) -> Mapping[tuple[str, str], Mapping[str, int]]:
    """Reads answered with an error since the start, by whose fault it was."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in summed(reports, _ERRORS):
        _, workspace, name, fault, _ = one.labels
        of = found.setdefault((workspace, name), {})
        of[fault] = of.get(fault, 0) + int(one.value)
    return found
