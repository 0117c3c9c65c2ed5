"""Settings of the cache: how much it keeps, and how long what it keeps is served."""

from typing import Any

from pydantic import Field, SecretStr

from gateway.settings.objectives import Milliseconds, Promise
from gateway.settings.sections import Seconds, Section


class SharedCache(Section):
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


class Cache(Section):
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


class Metadata(Section):
    """Cached Metadata."""

    ttl_s: Seconds = Field(300.0, description="Age after which a schema is fetched again, in the background.")


class Deadlines(Section):
    """Time for a read."""

    read_s: Seconds = Field(2.0, description="Time for a whole read when the caller names none; then 504.")


class Freshness(Section):
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
