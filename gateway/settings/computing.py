"""Settings of on-demand views that the gateway computes, and of wildcard queries."""

from pydantic import Field

from gateway.settings.sections import Seconds, Section


class OnDemandFunction(Section):
    """An on-demand view of a cluster that the gateway computes."""

    function: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`package.module:function`, importable where the gateway runs: it takes the context and the inputs.",
    )
    inputs: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="The features that it reads, by view and without the view's prefix: `{view = [feature]}`."
    )
    context_keys: tuple[str, ...] = Field((), description="The request-context keys that it reads.")
    outputs: dict[str, str] = Field(
        min_length=1, description='The types of its features, as metadata tells them: `{score = "float64", tags = "array<string>"}`.'
    )
    time_limit_s: Seconds | None = Field(
        None, description="Declares it slow: it runs on a thread, for no longer than this. Unset: it takes microseconds."
    )


class OnDemand(Section):
    """On-demand views that the gateway computes."""

    threads: int = Field(4, ge=1, le=256, description="Threads for on-demand functions that have a time limit.")
    check_ratio: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of a cluster's answers that the gateway's own on-demand values are compared with, once the first 20 of a view "
        "have been. A view that differs is not computed any more. 0: nothing is compared.",
    )
    views: dict[str, OnDemandFunction] = Field(
        default_factory=dict, description="For a cluster: on-demand views that the gateway computes, by view name."
    )


class Queries(Section):
    """Reads of wildcard feature services."""

    max_results: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Results of one query at most; more are refused with 400, or left out where the request allows partial results.",
    )
