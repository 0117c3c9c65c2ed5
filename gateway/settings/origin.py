"""Settings of where features come from, and of what stands before it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from gateway.settings.sections import Seconds, Section


class Origin(Section):
    """Where features come from."""

    kind: Literal["embedded", "tecton"] = Field(
        "embedded", description="`embedded`: the feature server in this process. `tecton`: a cluster."
    )
    url: str | None = Field(None, description="The cluster's base URL, for `tecton`: `https://<cluster>.tecton.ai`.")
    ingest_url: str | None = Field(None, description="Base URL of the cluster's ingest API, where it differs from `url`.")
    api_key: SecretStr | None = Field(
        None, description="One key for all calls to the cluster. Unset: each caller's own credential is passed through."
    )
    connect_timeout_s: Seconds = Field(1.0, description="Time to open a connection to the cluster.")
    max_connections: int = Field(256, ge=1, description="Connections to the cluster at most.")
    idle_connection_s: Seconds = Field(30.0, description="A connection to the cluster that was idle for so long is closed.")
    max_connection_age_s: Seconds = Field(
        300.0, description="An older connection to the cluster takes no more calls, so that a change of its address is followed."
    )
    transport: Literal["fast", "httpx"] = Field(
        "fast",
        description="`fast`: the gateway's own HTTP/1.1 client. `httpx`: the stock one, slower, and deceived by an origin that sends two "
        "replies to one request.",
    )
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that the cluster's certificate is verified against. Unset: the system's."
    )
    certificate_file: Path | None = Field(None, description="PEM file of the certificate that the gateway shows to the cluster.")
    key_file: Path | None = Field(None, description="PEM file of its key, unencrypted, where `certificate_file` does not hold it too.")
    max_reply_bytes: int = Field(16_777_216, ge=1024, description="A larger reply of the cluster is refused as malformed.")
    batch: bool = Field(
        default=True,
        description="Whether the cluster's feature services take get-features-batch (Redis-backed ones do). `services.*.batch` wins.",
    )


class Forward(Section):
    """The cluster's other endpoints, which are forwarded with the caller's own credential where `auth.mode` is passthrough."""

    secrets: bool = Field(default=True, description="Secrets, their scopes, and roles on them.")
    service_accounts: bool = Field(default=True, description="Service accounts and their client secrets.")
    scim: bool = Field(default=True, description="Users, groups and service accounts by SCIM.")
    oauth: bool = Field(default=True, description="The token endpoint.")
    feature_service: bool = Field(default=True, description="The state of a feature service.")
    metadata: bool = Field(default=True, description="Workspaces, and how feature servers are scaled.")
    jobs: bool = Field(default=True, description="Materialization jobs.")
    observability: bool = Field(default=True, description="The cluster's own metrics.")
    other: bool = Field(default=False, description="Whatever else is below /api/.")
    timeout_s: Seconds = Field(30.0, description="Time for a whole call, both bodies included; then 504, or a connection that breaks off.")
    max_connections: int = Field(16, ge=1, description="Calls at once, on connections of their own; more wait.")

    @property
    def groups(self) -> frozenset[str]:
        """The names of those that are on."""
        return frozenset(name for name in Forward.model_fields if getattr(self, name) is True)


class Guard(Section):
    """What stands before an origin that is waited for: a cluster, or the embedded feature server on Redis."""

    retries: int = Field(2, ge=0, le=10, description="How often a read is tried again after attempts that failed. 0: not at all.")
    retry_budget: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Retries and hedged attempts together, as a share of calls; three a second are always there. 0: none.",
    )
    hedging: bool = Field(
        default=True, description="Whether a fetch that takes longer than 95% of the recent ones is asked a second time beside it."
    )
    breaker_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of failures within 2 s, of 20 calls at least (or 5 failures in a row of fewer), at which calls stop but for a "
        "probe every `guard.breaker_pause_s`. 0: they never stop.",
    )
    breaker_pause_s: Seconds = Field(0.5, description="Time from one probe to the next, more or less a fifth of it.")
    retry_after_max_s: float = Field(
        30.0,
        ge=0,
        le=3_600,
        description="The longest time for which no call is made because the origin said Retry-After (429, 503). 0: it is not heeded.",
    )
    limit_max: int | None = Field(
        None, ge=0, le=100_000, description="Calls under way at most, however fast they are. Unset: `origin.max_connections`. 0: no limit."
    )
    limit_min: int = Field(4, ge=1, le=100_000, description="Calls that may be under way however slow they are.")
    queue_ms: float = Field(
        250.0,
        ge=0,
        le=60_000,
        description="A call that would wait longer than this for one under way to end, where the limit is met, is refused (503).",
    )
    priority_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="Request header that says `high`, `normal` or `low`: the lowest are refused first. Unset: all are normal.",
    )
