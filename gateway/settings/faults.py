"""The fault lab's settings: a section of the embedded feature server's (`gateway.settings`), with a default that is no fault at all.

Knows nothing of what the faults do; `feature_server.faults` does.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
Share = Annotated[float, Field(ge=0, le=1)]
_WHOLE = 1 + 1e-9
"""Shares as people write them down add up to 1 but for rounding."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FaultLatency(_Section):
    """How late replies come, beside the time that they take anyway."""

    shape: Literal["lognormal", "normal", "uniform"] = Field(
        "lognormal", description="Distribution of the added latency, through `p50_ms` and `p99_ms`; what would be below 0 is 0."
    )
    p50_ms: Milliseconds = Field(0.0, description="Median of the added latency.")
    p99_ms: Milliseconds | None = Field(None, description="99th percentile of the added latency. Unset: `p50_ms` always.")
    spike_share: Share = Field(0.0, description="Share of calls that take `spike_ms` more.")
    spike_ms: Milliseconds = Field(0.0, description="What a spike adds.")


class FaultErrors(_Section):
    """Which shares of calls are answered with an error, and are not carried out."""

    failed_share: Share = Field(0.0, description="Share of calls that the feature server answers with 500; the gateway's door with 502.")
    unavailable_share: Share = Field(0.0, description="Share of calls answered with 503.")
    timeout_share: Share = Field(0.0, description="Share of calls answered with 504.")
    throttled_share: Share = Field(0.0, description="Share of calls answered with 429.")
    retry_after_s: int = Field(1, ge=0, le=86_400, description="Retry-After of these 429.")
    malformed_share: Share = Field(0.0, description="Share of calls answered with what cannot be understood; the gateway's door says 502.")


class FaultAnswers(_Section):
    """Which shares of answers are not whole."""

    partial_share: Share = Field(
        0.0,
        description="Share of rows that meet the store's size limit: values are left out where the caller allows partial results, else the "
        "call is refused with 400, code 9.",
    )
    timed_out_share: Share = Field(
        0.0,
        description="Share of views that are not done in time: null and TIME_OUT at the end of the read's latency budget; without one the "
        "whole call is late past its deadline.",
    )
    missing_share: Share = Field(0.0, description="Share of views that are null with status MISSING_DATA.")


class FaultSchemaChange(_Section):
    """A feature view that changes at an instant, in its description and in its values at once."""

    kind: Literal["gain", "lose", "retype"] | None = Field(
        None, description="`gain` a feature at position 0 of the view, `lose` one, or `retype` one. Unset: no change."
    )
    view: str | None = Field(None, description="The feature view that changes.")
    feature: str | None = Field(None, description="The feature that is gained, lost or retyped, without the view's name.")
    data_type: Literal["int64", "float64", "string", "boolean", "timestamp"] | None = Field(
        None, description="Type of the gained or retyped feature, whose value is then a fixed one of that type."
    )
    at: str | None = Field(None, description="The instant (RFC 3339) of the change.")
    after_s: float | None = Field(None, ge=0, le=86_400 * 365, description="Or: seconds from the start of the process to the change.")


class Faults(_Section):
    """The fault lab: the embedded feature server as it is on its worst days. Nothing set: there is none."""

    seed: int = Field(0, description="Seed of what is hit: the same calls in the same order are hit alike.")
    calls: frozenset[Literal["describe", "fetch", "ingest"]] = Field(
        frozenset({"describe", "fetch", "ingest"}), description="Calls that latency and errors hit: metadata, reads, ingestion."
    )
    workspaces: frozenset[str] = Field(frozenset(), description="Workspaces that are hit. Empty: all.")
    services: frozenset[str] = Field(frozenset(), description="Feature services that are hit, as `workspace/service`. Empty: all.")
    views: frozenset[str] = Field(frozenset(), description="Feature views whose reads are hit. Empty: all.")
    not_ready: bool = Field(default=False, description="Whether /readyz says that the feature server is unavailable.")
    latency: FaultLatency = FaultLatency()
    errors: FaultErrors = FaultErrors()
    answers: FaultAnswers = FaultAnswers()
    schema_change: FaultSchemaChange = FaultSchemaChange()

    @property
    def active(self) -> tuple[str, ...]:
        """What of it is on, by name; nothing where there is no fault lab."""
        latency, errors, answers = self.latency, self.errors, self.answers
        on = {
            "latency": latency.p50_ms or latency.p99_ms or latency.spike_share,
            "errors": any(error_shares(errors).values()),
            "answers": answers.partial_share or answers.timed_out_share or answers.missing_share,
            "schema_change": self.schema_change.kind,
            "not_ready": self.not_ready,
        }
        return tuple(name for name, value in on.items() if value)


def error_shares(errors: FaultErrors) -> dict[str, float]:
    """The shares of one call's mutually exclusive ends, by setting, in the order in which they are drawn."""
    return {name: value for name, value in errors if name.endswith("_share")}


def contradictions(faults: Faults) -> Iterator[str]:
    """Settings that are well formed each, and do not fit together; by their names below `feature_server.faults`."""
    latency, answers = faults.latency, faults.answers
    if latency.p99_ms is not None and latency.p99_ms < latency.p50_ms:
        yield "latency.p99_ms: must not be below p50_ms"
    if latency.p99_ms is not None and latency.p50_ms == 0:
        yield "latency.p99_ms: needs a p50_ms above 0"
    if bool(latency.spike_share) != bool(latency.spike_ms):
        yield "latency.spike_share and latency.spike_ms: only both together make spikes"
    if sum(error_shares(faults.errors).values()) > _WHOLE:
        yield "errors: the shares add up to more than 1"
    if answers.timed_out_share + answers.missing_share > _WHOLE:
        yield "answers: timed_out_share and missing_share add up to more than 1"
    yield from _change_contradictions(faults.schema_change)


def _change_contradictions(change: FaultSchemaChange) -> Iterator[str]:
    if change.kind is None and change != FaultSchemaChange():
        yield "schema_change.kind: needed for a schema change"
    if change.kind is not None:
        if change.view is None or change.feature is None:
            yield "schema_change: needs view and feature"
        if (change.at is None) == (change.after_s is None):
            yield "schema_change: needs at or after_s, one of them"
        if (change.kind == "lose") != (change.data_type is None):
            yield "schema_change.data_type: needed for gain and retype, and for them alone"
