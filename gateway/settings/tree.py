"""The settings' tree: every setting, section by section, with its type, its bounds, its default and what it means.

What it means stands here once: the README's table, the example file and the mistakes are made of it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.settings.console import Console
from gateway.settings.faults import Faults
from gateway.settings.objectives import Milliseconds, Promise, Slo

Seconds = Annotated[float, Field(gt=0, le=86_400 * 365)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Section):
    """The listener."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="A larger request body is refused with 413.")
    workers: int = Field(
        1, ge=1, le=64, description="Processes that serve the port. More than one: before a cluster, or with the online store in Redis."
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        le=3_600,
        description="After SIGTERM: how long everything is still served, for load balancers to see that `/readyz` is red.",
    )
    ready_while_degraded: bool = Field(
        default=True,
        description="Whether `/readyz` stays 200, and says `degraded`, while a feature store elsewhere that was there once, or the store "
        "of access control, is lost. `false`: it is 503.",
    )
    shutdown_grace_s: float = Field(
        30.0, ge=0, le=3_600, description="After that: how long requests under way may take; what then is left is told 503."
    )
    max_header_bytes: int = Field(
        65_536, ge=1024, le=1_048_576, description="A request line and headers that are longer together are refused with 431."
    )
    max_headers: int = Field(100, ge=8, le=10_000, description="More headers than this are refused with 431.")
    header_timeout_s: Seconds = Field(
        10.0,
        description="Time for a request's headers to come in, from its first byte, and for a new connection to begin its first request.",
    )
    body_timeout_s: Seconds = Field(30.0, description="Time for a request's body to come in, from the end of its headers.")
    write_timeout_s: Seconds = Field(30.0, description="How long a client may leave its reply unread before its connection is cut.")
    max_connections: int = Field(4_096, ge=1, description="Connections at most; further ones are answered 503 and closed.")
    max_connections_per_client: int = Field(
        0, ge=0, description="Connections at most from one address; 0: any number. Behind a load balancer all clients share its address."
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="PEM file of the certificate, and those between it and its authority, for HTTPS. Unset: HTTP. Another certificate in "
        "its place is taken up within ten seconds.",
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file of its private key, not encrypted. Unset: it is in the certificate's file."
    )
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities one of which must have signed a certificate that clients show. Unset: none is asked for.",
    )


class Origin(_Section):
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


class Forward(_Section):
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


class Guard(_Section):
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


class Key(_Section):
    """One API key of the gateway's own."""

    digest: Digest = Field(description="SHA-256 of the key, 64 hex digits. `feature-gateway new-key` makes both.")
    workspaces: frozenset[str] = Field(frozenset(), description="Workspaces it may read; `*` for all.")
    ingest: bool = Field(default=False, description="Whether it may write to /ingest.")
    purge: bool = Field(default=False, description="Whether it may purge the cache, in its workspaces; with `*` also all of it.")


_ApiPath = Annotated[str, Field(pattern=r"^/api(/[A-Za-z0-9_-]{1,64}){1,6}$")]


class OAuth(_Section):
    """Access tokens for the client credentials of service accounts."""

    token_life_s: int = Field(3600, ge=60, le=86_400, description="How long a token is good for.")
    key_life_s: float = Field(
        86_400.0,
        ge=300,
        le=31_536_000,
        description="How old a signing key gets before another takes its place. It verifies until its last token is over.",
    )
    issuer: str = Field(
        "feature-gateway",
        pattern=r"^[!-~]{1,256}$",
        description="What tokens say of who made them (`iss`). The same for all replicas of one store, and unlike that of another.",
    )
    audience: str = Field("feature-gateway", pattern=r"^[!-~]{1,256}$", description="What tokens say of whom they are for (`aud`).")


class Paths(_Section):
    """Where the administrative doors are that no public source confirms."""

    service_accounts: _ApiPath = Field(
        "/api/v1/metadata-service",
        description="Before `/create-service-account`, `/get-service-account` and so on. They are below /api/v1/service-accounts-service "
        "too.",
    )
    service_account_secrets: _ApiPath = Field(
        "/api/v1/service-accounts-service", description="Before `/create-service-account-secret` and the four others."
    )


class Auth(_Section):
    """Who may read."""

    mode: Literal["keys", "passthrough", "open"] | None = Field(
        None,
        description="`keys`: the gateway's own keys. `passthrough`: the cluster judges. `open`: everybody. "
        "Unset: `keys`, or `passthrough` before a cluster without `origin.api_key`.",
    )
    grant_life_s: Seconds = Field(
        30.0, description="With `passthrough`: how long one answer of the cluster lets its caller read from the cache."
    )
    keys: dict[str, Key] = Field(default_factory=dict, description="The gateway's own API keys, by name.")
    store: Literal["none", "sqlite", "postgresql"] | None = Field(
        None,
        description="Where principals, their roles and keys, secrets and the audit log are kept, for `keys`: `access.db` in "
        "`auth.data_dir`, or PostgreSQL for several replicas. `none`: only the settings' keys, and no administrative doors. "
        "Unset: `postgresql` with `auth.database`, `none` with `auth.keys`, else `sqlite`.",
    )
    data_dir: Path | None = Field(None, description="Folder of `access.db`. Unset: `feature_server.data_dir`.")
    database: SecretStr | None = Field(None, description="URL of the PostgreSQL database: `postgresql://user:password@host/name`.")
    kek_file: Path | None = Field(
        None,
        description="File with the key-encryption key that secrets are sealed under: 32 bytes in base64 or hex. Unset, and `auth.kek` too: "
        "`access.kek` beside `access.db`, made at the first start.",
    )
    kek: SecretStr | None = Field(None, description="The key itself, for an environment variable, in place of `auth.kek_file`.")
    kek_previous_files: tuple[Path, ...] = Field(
        (), description="Files with earlier keys, which still open what they sealed until `feature-gateway secrets rotate-kek` was run."
    )
    refresh_s: float = Field(
        1.0, gt=0, le=5, description="How often the store is asked whether another process has changed who may do what."
    )
    scim_roles: bool = Field(
        default=True,
        description="Whether roles can be given and taken over SCIM. false: what SCIM clients say of roles counts for nothing.",
    )
    oauth: OAuth = OAuth()
    paths: Paths = Paths()
    max_copy_age_s: Seconds | None = Field(
        None,
        description="While the store cannot be read, what was read last counts for so long; then its keys are refused with 503. "
        "Unset: until it can be read again.",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="An API key, as `feature-gateway new-key` makes them, that the service account `admin` has from the next start on. "
        "Unset: where the store holds no admin, `serve` makes one and prints its key, once.",
    )
    metrics: Literal["role", "open"] = Field(
        "role",
        description="Who reads `/metrics` and `/v1/slo`, for `keys`. `role`: whoever holds a role, from viewer up, in all workspaces; "
        "of the settings' keys those of `*`. `open`: everybody. Metrics name workspaces, feature services and views; never keys, callers "
        "or values.",
    )


class SharedCache(_Section):
    """The cache and the invalidations that replicas share, in Redis or Valkey."""

    url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://` or `unix://`, with user and password where it wants them. Unset: each replica has its own.",
    )
    cluster: bool = Field(default=False, description="Whether `url` is a node of a Redis Cluster.")
    prefix: str = Field(
        "fgc", pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="What all keys begin with. Gateways that share fragments share it."
    )
    deadline_ms: float = Field(20.0, gt=0, le=1_000, description="Time for a look-up, which otherwise is a miss.")
    timeout_s: Seconds = Field(1.0, description="Time to open a connection, to store, and to tell other replicas of a purge.")


class Cache(_Section):
    """The fragment cache."""

    max_bytes: int = Field(268_435_456, ge=0, description="Bytes of fragments kept, overhead included.")
    ttl_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="How long a fragment is served, where neither its view nor its feature service says. 0: not at all.",
    )
    negative_ttl_s: float = Field(
        10.0, ge=0, le=86_400, description="TTL of a fragment all of whose values are missing; never longer than its TTL. 0: not at all."
    )
    max_age_s: Seconds | None = Field(
        None, description="How old values may be, by the origin's effective time, to be served from the cache. Unset: any age."
    )
    stale_while_revalidate_s: float = Field(
        0.0, ge=0, le=86_400, description="For how long after its end a fragment is served at once, as stale, while it is fetched again."
    )
    stale_if_error_s: float = Field(
        300.0, ge=0, le=86_400, description="For how long after its end a fragment is served, as stale, where the origin fails or is late."
    )
    sweep_every_s: Seconds = Field(
        30.0, description="Seconds between two rounds that remove what has ended and return its memory to the system."
    )
    jitter: float = Field(
        0.75,
        ge=0,
        lt=1,
        description="By how much of its TTL an entry may end earlier where too many would end together. 0: all keep their whole TTL.",
    )
    early_refresh: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Eagerness of refreshes before the end, in the background, of entries that are read then (XFetch's beta). 0: none.",
    )
    shared: SharedCache = SharedCache()


class Metadata(_Section):
    """Cached Metadata."""

    ttl_s: Seconds = Field(300.0, description="Age after which a schema is fetched again, in the background.")


class Deadlines(_Section):
    """Time for a read."""

    read_s: Seconds = Field(2.0, description="Time for a whole read when the caller names none; then 504.")


class OnDemandFunction(_Section):
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


class OnDemand(_Section):
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


class Queries(_Section):
    """Reads of wildcard feature services."""

    max_results: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Results of one query at most; more are refused with 400, or left out where the request allows partial results.",
    )


class Redis(_Section):
    """The online store in Redis or Valkey."""

    url: SecretStr | None = Field(None, description="`redis://`, `rediss://` or `unix://`, with user and password where it wants them.")
    cluster: bool = Field(default=False, description="Whether `url` is a node of a Redis Cluster.")
    prefix: str = Field("fg", min_length=1, max_length=64, description="What all keys begin with. Gateways that share a store share it.")
    connect_timeout_s: Seconds = Field(1.0, description="Time to open a connection.")
    command_timeout_s: Seconds = Field(1.0, description="Time for one server's part of a read or write.")
    connections: int = Field(32, ge=1, description="Connections at most, to each server.")


class FeatureServer(_Section):
    """The embedded feature server."""

    definitions: str | None = Field(
        None,
        description="The feature repository: a folder, or `module:attribute`, as it is at the start. Unset: the version in force in "
        "`data_dir`, put there by `feature-gateway apply`; later ones are taken up while serving.",
    )
    data_dir: Path = Field(Path("feature-gateway-data"), description="Folder of the online store and of the versions of its definitions.")
    store: Literal["sqlite", "redis"] = Field("sqlite", description="Where events and tiles are kept: a file in `data_dir`, or Redis.")
    redis: Redis = Redis()
    as_of: str | None = Field(None, description="Serve as of this instant (RFC 3339) instead of now.")
    retention_every_s: Seconds = Field(300.0, description="Seconds between two rounds that remove what no read can want any longer.")
    keep_retired_s: float = Field(
        604_800.0, ge=0, le=86_400 * 3650, description="How long the data of views that are no longer defined is kept."
    )
    ingest_records_per_source: int = Field(10, ge=1, description="Records per stream source in one ingest request.")
    faults: Faults = Faults()


class Telemetry(_Section):
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


class Log(_Section):
    """The gateway's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is told at least.")
    format: Literal["console", "json"] | None = Field(
        None, description="`json`: a JSON object a line. `console`: for people. Unset: `console` on a terminal, else `json`."
    )
    requests: Literal["off", "errors", "all"] = Field(
        "off", description="Which requests get a line of their own: none, those answered with an error, or all, a sample of the good ones."
    )
    sample: float = Field(1.0, ge=0, le=1, description="Share of the requests without an error that get a line, for `all`.")


class RequestLog(_Section):
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


class Freshness(_Section):
    """How long fragments are served, for one feature service or view; where both speak, the shorter counts. Unset: as in `cache`."""

    ttl_s: float | None = Field(None, ge=0, le=86_400, description="As `cache.ttl_s`.")
    negative_ttl_s: float | None = Field(None, ge=0, le=86_400, description="As `cache.negative_ttl_s`.")
    max_age_s: Seconds | None = Field(None, description="As `cache.max_age_s`.")
    stale_while_revalidate_s: float | None = Field(None, ge=0, le=86_400, description="As `cache.stale_while_revalidate_s`.")
    stale_if_error_s: float | None = Field(None, ge=0, le=86_400, description="As `cache.stale_if_error_s`.")


class Service(Freshness):
    """Policy of one feature service."""

    batch: bool | None = Field(
        None,
        description="For a cluster: whether it takes get-features-batch. Unset: as `origin.batch` says, until the cluster refuses a batch; "
        "then rows are asked one by one, and a batch is tried again every five minutes.",
    )
    slo_availability: Promise | None = Field(None, description="As `slo.availability`.")
    slo_latency: Promise | None = Field(None, description="As `slo.latency`.")
    slo_latency_ms: Milliseconds | None = Field(None, description="As `slo.latency_ms`.")
    slo_stale: Promise | None = Field(None, description="As `slo.stale`.")


class View(Freshness):
    """Policy of one feature view."""

    join_keys: tuple[str, ...] | None = Field(
        None,
        description="For a cluster: the join keys that this view depends on. Unset: all of the service's, and the whole request context.",
    )
    defaults: dict[str, Any] | None = Field(
        None,
        description="Values, by feature without the view's prefix, that are served where the origin fails or is late and nothing stale is "
        "left; null for those it does not name.",
    )
    fresh_within_s: Seconds | None = Field(
        None, description="How old its values may be, by the origin's effective time where it tells one. Unset: as old as they like."
    )
    slo_freshness: Promise | None = Field(None, description="As `slo.freshness`.")


class Settings(_Section):
    """The gateway's settings."""

    server: Server = Server()
    origin: Origin = Origin()
    forward: Forward = Forward()
    guard: Guard = Guard()
    auth: Auth = Auth()
    cache: Cache = Cache()
    metadata: Metadata = Metadata()
    deadlines: Deadlines = Deadlines()
    on_demand: OnDemand = OnDemand()
    queries: Queries = Queries()
    feature_server: FeatureServer = FeatureServer()
    slo: Slo = Slo()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()
    request_log: RequestLog = RequestLog()
    console: Console = Console()
    services: dict[str, Service] = Field(default_factory=dict, description="Policies by `workspace/service`.")
    views: dict[str, View] = Field(default_factory=dict, description="Policies by view name.")
    default_workspace: str = Field("prod", description="Workspace of Tecton V1 requests that name none.")
    include_names_by_default: bool = Field(
        default=False,
        description="Tecton doors: names and data types also where a request asks for no metadata, as the official client's quick start "
        "needs. Off is faithful.",
    )

    @property
    def auth_mode(self) -> Literal["keys", "passthrough", "open"]:
        if self.auth.mode is not None:
            return self.auth.mode
        return "passthrough" if self.origin.kind == "tecton" and self.origin.api_key is None else "keys"

    @property
    def access_store(self) -> Literal["none", "sqlite", "postgresql"]:
        """Where it is kept who may do what. Keys in the settings are a choice against a store, if nothing else is said."""
        if self.auth.store is not None:
            return self.auth.store
        if self.auth.database is not None:
            return "postgresql"
        return "none" if self.auth_mode != "keys" or self.auth.keys else "sqlite"
