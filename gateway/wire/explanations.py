"""The reply of `…/features:explain`: what one read was, and why. Its names are promised: what is new is added, nothing is renamed.

No join key is in it, nor a value of the request context: keys are named, and a set of them goes by a hash. Times that are told as distances
count from the moment of the answer; what lies before it is negative.
"""

import msgspec

from gateway.features import Source, Status


class _Shape(msgspec.Struct, rename="camel"):
    """camelCase on the wire, as all of the named doors."""


class ExplainedFeature(_Shape):
    """`value`: the same bytes as the named door answers."""

    value: msgspec.Raw
    status: Status
    source: Source
    view: str
    age_seconds: float | None
    effective_time: str | None


class ExplainedError(_Shape):
    """As the read would have been answered."""

    message: str
    status: int
    code: int
    kind: str
    fault: str


class ExplainedTerm(_Shape):
    """`said_by`: the section of the settings."""

    seconds: float | None
    said_by: str


class ExplainedTerms(_Shape):
    """`seconds` null: without a bound."""

    ttl: ExplainedTerm
    negative_ttl: ExplainedTerm
    max_age: ExplainedTerm
    stale_while_revalidate: ExplainedTerm
    stale_if_error: ExplainedTerm


class ExplainedKey(_Shape):
    """What a fragment is found by. `id`: of these values of the join keys, as this process calls them until it ends. `namespace`: the
    process's number for all else that makes it what it is."""

    id: str
    namespace: int
    join_keys: list[str]
    context_keys: list[str]
    view_identity: str | None


class ExplainedFragment(_Shape):
    """`ends_by`: which bound comes first (`Fragment.bounds`). `kept`: it is in this process's cache now. The last three are null where
    there is no such thing."""

    size_bytes: int
    age_seconds: float
    effective_age_seconds: float | None
    negative: bool
    kept: bool
    ends_in_seconds: float
    ends_by: str
    life_share: float
    early_refresh_in_seconds: float | None
    stale_while_revalidate_ends_in_seconds: float | None
    stale_if_error_ends_in_seconds: float | None


class ExplainedView(_Shape):
    """A view whose values come from the origin. `source` null: the read failed before it had it. `served`: not only read by others."""

    name: str
    served: bool
    source: Source | None
    at_hand: str
    flight: int | None
    came_by: str
    text: str
    key: ExplainedKey
    terms: ExplainedTerms
    fragment: ExplainedFragment | None
    had: ExplainedFragment | None
    error: ExplainedError | None


class ExplainedInput(_Shape):
    feature: str
    source: Source | None


class ExplainedComputation(_Shape):
    """An on-demand view that is computed in the gateway."""

    name: str
    source: Source | None
    inputs: list[ExplainedInput]
    context_keys: list[str]
    time_limit_seconds: float | None
    text: str


class ExplainedFlight(_Shape):
    """A fetch that the read waited for. `state`: landed, failed or under_way."""

    id: int
    led: bool
    views: list[str]
    state: str
    began_before_seconds: float


class ExplainedCall(_Shape):
    """A call to the origin that was made for this read."""

    views: list[str]
    took_ms: float
    attempts: int
    retries: int
    hedged: bool
    error: ExplainedError | None


class ExplainedSlo(_Shape):
    """What the origin says of its service of the read."""

    eligible: bool
    server_time_seconds: float | None
    slo_server_time_seconds: float | None
    store_max_latency: float | None
    ineligibility_reasons: list[str]


class ExplainedOrigin(_Shape):
    """`breaker`: closed, open, or none where there is none."""

    kind: str
    breaker: str
    calls: list[ExplainedCall]
    slo_info: ExplainedSlo | None


class ExplainedGrant(_Shape):
    """`held`: when the read began; `ends_in_seconds`: of the one that is held now; null where it does not end of itself, or there is
    none."""

    gate: str
    held: bool
    ends_in_seconds: float | None
    name: str | None
    kind: str | None
    rights: list[str]


class ExplainedTimings(_Shape):
    """In milliseconds."""

    authorise: float
    decode: float
    schema: float
    look_up: float
    fetch: float
    compute: float
    encode: float
    total: float


class ExplainedDeadline(_Shape):
    """`named`: by the request; else by the settings."""

    given_ms: float
    left_ms: float
    named: bool


class Explanation(_Shape):
    """`outcome`: hit, partial, miss, stale or error."""

    workspace: str
    feature_service: str
    outcome: str
    error: ExplainedError | None
    features: dict[str, ExplainedFeature]
    views: list[ExplainedView]
    computed: list[ExplainedComputation]
    grant: ExplainedGrant
    flights: list[ExplainedFlight]
    origin: ExplainedOrigin
    deadline: ExplainedDeadline
    partial_results: bool
    schema_corrected: bool


class _Timed(_Shape):
    timings: ExplainedTimings


def explanation(told: Explanation) -> bytes:
    return msgspec.json.encode(told)


def timed(told: bytes, timings: ExplainedTimings) -> bytes:
    """An explanation that is spelled, with how long all of it took, which was not known before."""
    return told[:-1] + b"," + msgspec.json.encode(_Timed(timings))[1:]


def members(named: bytes) -> dict[str, msgspec.Raw]:
    """The values of a view's features by name, in order, as they are spelled on the named door."""
    return msgspec.json.decode(b"{%b}" % named, type=dict[str, msgspec.Raw])


class ToldExplanation(Explanation):
    """An explanation as a client of this door has it."""

    timings: ExplainedTimings


def read_explanation(body: bytes) -> ToldExplanation:
    """What a gateway told, perhaps a newer one: what is not known here is passed over. Raises ValueError for what is no explanation."""
    return msgspec.json.decode(body, type=ToldExplanation)
