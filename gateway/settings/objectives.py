"""Settings of what is promised: shares of reads and values that are to be good."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Promise = Annotated[float, Field(gt=0, lt=1)]
"""A share. Never all: a promise that allows nothing is broken by the first failure, and for ever."""
Milliseconds = Annotated[float, Field(gt=0)]


class Slo(BaseModel):
    """What is promised of every feature service and view that has no promise of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    availability: Promise = Field(
        0.9995, description="Share of reads that are not answered with an error of the origin or of the gateway; above 0, below 1."
    )
    latency: Promise = Field(0.99, description="Share of eligible reads that are answered within `slo.latency_ms`.")
    latency_ms: Milliseconds = Field(100.0, description="Latency objective of a read, in milliseconds.")
    stale: Promise = Field(0.99, description="Share of answered reads with nothing stale in them.")
    freshness: Promise = Field(0.99, description="Share of a view's values that are no older than `views.*.fresh_within_s`, if set.")
