"""Settings of spans and logs."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.sections import Section


class Telemetry(Section):
    """Spans."""

    sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of reads that get a span when the caller's traceparent does not decide. OTEL_TRACES_SAMPLER wins.",
    )
    trust_traceparent: Literal["always", "never"] = Field(
        "always",
        description="Whether callers' trace context is believed. `never`: its sampled flag decides nothing, spans are linked to it and are "
        "not its children, and nothing of it is sent to the cluster.",
    )


class Log(Section):
    """The gateway's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is told at least.")
    format: Literal["console", "json"] | None = Field(
        None, description="`json`: a JSON object a line. `console`: for people. Unset: `console` on a terminal, else `json`."
    )
    requests: Literal["off", "errors", "all"] = Field(
        "off", description="Which requests get a line of their own: none, those answered with an error, or all, a sample of the good ones."
    )
    sample: float = Field(1.0, ge=0, le=1, description="Share of the requests without an error that get a line, for `all`.")


class RequestLog(Section):
    """A log of which join keys were read when, hashed, for `feature-gateway simulate`."""

    path: Path | None = Field(
        None,
        description="File of the request log. Unset: none is written. Each gateway needs its own; workers add their number to it.",
    )
    sample: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the sets of join keys whose every read is logged: hit ratios of such a sample are those of all reads.",
    )
    max_bytes: int = Field(
        104_857_600, ge=65_536, description="At this size the file takes the place of the one before it, `<path>.1`, and a new one begins."
    )
